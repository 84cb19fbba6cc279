"""What killed preparations leave in the folder for temporary files."""

import os
from pathlib import Path

from grambench.cli.data_prepare import _remove_scratch


def test_what_was_left_a_week_ago_is_removed_and_nothing_else(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("grambench-prepare-a", "grambench-prepare-b", "other"))
    for folder in (old, new, other):
        (folder / "run").mkdir(parents=True)
    link = tmp_path / "grambench-prepare-c"
    link.symlink_to(other)
    for path in (old, other, link):
        os.utime(path, (0, 0), follow_symlinks=False)
    _remove_scratch(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, link.name, "other"]
    assert (other / "run").is_dir()
