"""Files in MIND's format, written to disk, and the shared real rows."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SplitWriter = Callable[..., Path]


@pytest.fixture
def shared_data() -> Path:
    """Real rows that are not ours to ship."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} with real MIND rows is not on this machine")
    return folder


@pytest.fixture
def write_split() -> SplitWriter:
    """Write a split: news as (id, title, abstract), behaviors as (user, time, history, impressions)."""

    def write(
        folder: Path,
        news: Sequence[tuple[str, str, str]],
        behaviors: Sequence[tuple[str, str, str, str]],
    ) -> Path:
        folder.mkdir(parents=True)
        news_lines = (f"{id_}\tnews\tworld\t{title}\t{text}\thttps://x\t[]\t[]" for id_, title, text in news)
        lines = ("\t".join((str(number), *row)) for number, row in enumerate(behaviors, start=1))
        (folder / "news.tsv").write_text("".join(f"{line}\n" for line in news_lines))
        (folder / "behaviors.tsv").write_text("".join(f"{line}\n" for line in lines))
        return folder

    return write
