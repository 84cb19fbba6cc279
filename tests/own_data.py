"""Users' own data with all its quotes, emoji, empty titles, repeated rows and odd headers."""

import csv
import gzip
import io
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

TITLES = ('He said "no"', "rain, sun \N{SNOWMAN}", "", "l\N{RIGHT SINGLE QUOTATION MARK}ete", "'quoted'")


def compressed(path: Path, content: bytes, suffix: str = "") -> Path:
    """Write a file, compressed as its suffix says."""
    path = path.with_name(path.name + suffix)
    if suffix == ".zst":
        with pa.output_stream(str(path), compression="zstd") as file:
            file.write(content)
    else:
        path.write_bytes(gzip.compress(content) if suffix else content)
    return path


def put_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], suffix: str = "", end: str = "\n"
) -> None:
    """A CSV; with `\\r\\n` as line end also with a byte order mark."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    mark = "\ufeff" if end == "\r\n" else ""
    compressed(path, (mark + text.getvalue()).encode(), suffix)


def own_news(folder: Path, impressions: int = 300) -> Path:
    """40 items, one of them in two rows, and impressions of 11 days in May 2024; some users click once."""
    draw = random.Random(0)
    folder.mkdir()
    items = [(f"{title} {n}" if title else "", "x", f"a{n}") for n in range(40) for title in [TITLES[n % 5]]]
    put_csv(folder / "items.csv", ("Headline", "Section", "News_ID"), [*items, items[0]], ".gz", "\r\n")
    rows = []
    for n in range(impressions):
        ids = draw.sample(range(40), 8)
        shown = " ".join(f"a{item}-{int(place == 0)}" for place, item in enumerate(ids[:4]))
        user = n if n % 10 == 0 else n % 30
        history = " ".join(f"a{item}" for item in ids[5 : 5 + n % 4])
        rows.append(
            (f"2024-05-{1 + n * 11 // impressions:02}T10:{n % 60:02}:00Z", shown, f"u{user}", history)
        )
    put_csv(folder / "impressions.csv", ("Timestamp", "Candidates", "userId", "click history"), rows, ".zst")
    return folder


def own_answers(folder: Path, users: int = 40) -> Path:
    """30 items and 20 answers of each student, of every seventh only one; one row is there twice."""
    draw = random.Random(0)
    folder.mkdir()
    items = [(f"{title} {n}" if title else "", n) for n in range(30) for title in [TITLES[n % 5]]]
    put_csv(folder / "items.csv", ("Question Text", "question_id"), items, "", "\r\n")
    rows = [
        (("0.0", "1.0")[draw.random() < 0.6], draw.randrange(30), 1_714_557_600 + 60 * n, f"s{user}")
        for user in range(users)
        for n in range(1 if user % 7 == 0 else 20)
    ]
    header = ("answered_correctly", "question_id", "timestamp", "user_id")
    put_csv(folder / "interactions.csv", header, [*rows, rows[-1]], ".gz")
    return folder
