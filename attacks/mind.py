"""MIND's folders."""

from attacks.assault import assault
from attacks.data_folders import reader

NAME = "mind"
WHAT = "news.tsv and behaviors.tsv in train/ and dev/"


def attack(count: int, seed: int) -> list[str]:
    """Faults of the reader of MIND."""
    news = "".join(f"N{n}\tnews\tworld\tTitle {n}\tText\thttps://x/{n}\t[]\t[]\n" for n in range(12)).encode()
    behaviors = "".join(
        f"{n}\tU{n % 7}\t11/{11 + n % 4}/2019 9:05:58 AM\tN{n % 5} N{n % 3 + 5}"
        f"\tN{n % 12}-1 N{(n + 3) % 12}-0\n"
        for n in range(30)
    ).encode()
    files = {
        f"{split}/{name}.tsv": content
        for split in ("train", "dev")
        for name, content in (("news", news), ("behaviors", behaviors))
    }
    return assault(NAME, files, reader(source="mind", dataset="own"), count, seed)
