"""Downloaded archives."""

import io
import zipfile
from pathlib import Path

from attacks.assault import assault, mutated
from grambench.domains.news.unzip import extract_tables

NAME = "zips"
WHAT = "MIND's zip archives, stored and deflated"


def attack(count: int, seed: int) -> list[str]:
    """Faults of the extraction."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("MINDsmall_train/news.tsv", "N1\tnews\n" * 40, zipfile.ZIP_DEFLATED)
        archive.writestr("MINDsmall_train/behaviors.tsv", "1\tU1\n" * 9)
        archive.writestr("../outside", "x")
    return assault(
        NAME,
        {"a.zip": content.getvalue().replace(b"../outside", b"ok/outside")},
        _extract,
        count,
        seed,
        (mutated,),
    )


def _extract(folder: Path) -> None:
    (folder / "out").mkdir(exist_ok=True)
    extract_tables(folder / "a.zip", folder / "out", ("news.tsv", "behaviors.tsv"))
