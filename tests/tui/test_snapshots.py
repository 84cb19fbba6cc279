"""The whole screen as SVG, at every layout; `pytest --snapshot-update` accepts a change."""

import re
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from grambench.tui.app import Dashboard
from tests.tui.logs import build

SHOTS = [
    ("mid", (60, 24), ()),
    ("mid", (80, 24), ()),
    ("mid", (120, 40), ()),
    ("mid", (160, 45), ()),
    ("finished", (200, 60), ()),
    ("setup", (120, 40), ()),
    ("first", (80, 24), ()),
    ("eight", (160, 45), ()),
    ("trouble", (120, 40), ()),
    ("hostile", (80, 24), ()),
    ("hostile", (120, 40), ()),
    ("mid", (80, 24), ("q",)),
    ("mid", (120, 40), ("t",)),
]


class Svg(SingleFileSnapshotExtension):
    """One readable file per shot."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT


def normal(svg: str) -> str:
    """Without the prefix that Rich makes from the content, which would change in every line."""
    return re.sub(r"terminal-\d+", "terminal", svg)


@pytest.mark.parametrize(
    ("state", "size", "keys"), SHOTS, ids=["-".join([s, f"{w}x{h}", *keys]) for s, (w, h), keys in SHOTS]
)
async def test_screen(
    tmp_path: Path, snapshot: SnapshotAssertion, state: str, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    app = Dashboard(build(state, tmp_path / "run"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.pause()
        if keys:
            await pilot.press(*keys)
            await pilot.pause()
        await pilot.pause()
        picture = app.export_screenshot()
    assert normal(picture) == snapshot(extension_class=Svg)
