"""Duolingo SLAM."""

from attacks.assault import assault
from attacks.data_folders import reader

NAME = "duolingo"
WHAT = "train, dev and test of Duolingo SLAM 2018, with their keys"


def _exercises(part: str, count: int, *, labelled: bool) -> tuple[str, str]:
    """The text of a part, and of its key."""
    lines, key = [], []
    for n in range(count):
        lines.append(f"# prompt:I cook fish {n % 5}.")
        lines.append(
            f"# user:u{n % 4}  countries:US|MX  days:{n}.5  client:web  session:lesson  format:listen  time:3"
        )
        for place, word in enumerate(("Yo", "cocino")):
            token = f"{part}{n:05}{place + 1:04}"
            label = f"  {n % 2}" if labelled else ""
            lines.append(f"{token}  {word}  VERB  Mood=Ind|fPOS=VERB++  ROOT  0{label}")
            key.append(f"{token} {n % 2}")
        lines.append("")
    return "\n".join([*lines, ""]), "\n".join([*key, ""])


def attack(count: int, seed: int) -> list[str]:
    """Faults of the reader of Duolingo's files."""
    files = {"train": _exercises("tra", 12, labelled=True)[0]}
    for part in ("dev", "test"):
        files[part], files[f"{part}.key"] = _exercises(part[:3], 4, labelled=False)
    stored = {f"es_en.slam.20190204.{name}": text.encode() for name, text in files.items()}
    return assault(NAME, stored, reader(source="duolingo"), count, seed)
