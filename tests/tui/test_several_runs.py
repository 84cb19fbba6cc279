"""Several runs on one screen."""

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from tui.logs import build
from tui.pictures import faults, normal
from tui.test_snapshots import Svg

from grambench.tui import several
from grambench.tui.several import RunsDashboard
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.text import TextPanel
from grambench.views.short_names import short_names

RUNS = {"mind-small-20260301-120000": "finished", "mind-small-20260301-130000": "mid"}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A run that has ended, and one that trains."""
    running = tmp_path / "mind-small-20260301-130000"
    monkeypatch.setattr(several, "supervisor_of", lambda folder: True if folder == running else None)
    return [build(state, tmp_path / name) for name, state in RUNS.items()]


async def drawn(app: RunsDashboard, pilot: Pilot[None]) -> None:
    """Until all is read and drawn in its own size."""
    while any(reader.share_read < 1 for reader in app._readers):
        await pilot.pause(0.02)
    for _ in range(3):
        await pilot.pause()
        app._read()
        app.redraw()
    await pilot.pause()


@pytest.mark.parametrize(
    ("size", "keys"),
    [((80, 24), ()), ((120, 40), ("a", "o")), ((160, 45), ("t",))],
    ids=["80x24", "120x40-steps-log", "160x45-light"],
)
async def test_screen(
    folders: list[Path],
    size: tuple[int, int],
    keys: tuple[str, ...],
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    app = RunsDashboard(folders)
    async with app.run_test(size=size) as pilot:
        await drawn(app, pilot)
        await pilot.press(*keys)
        await drawn(app, pilot)
        assert faults(app) == []  # type: ignore[arg-type]
        assert normal(app.export_screenshot()) == snapshot(extension_class=Svg)


async def test_each_curve_is_named_by_its_run_and_has_a_look_of_its_own(folders: list[Path]) -> None:
    app = RunsDashboard(folders)
    async with app.run_test(size=(160, 45)) as pilot:
        await drawn(app, pilot)
        picture = app.query_one("#metric Chart", Chart)._picture
        assert picture is not None
        named = {curve.name: (curve.colour, curve.marker) for curve in picture.curves if curve.points}
        assert {"120000/E2E", "120000/1S", "130000/E2E"} <= set(named)
        assert len(set(named.values())) == len(named)
        shown = app.query_one("#runs", TextPanel).query_one("#text").content.plain  # type: ignore[attr-defined]
        lines = [line.split() for line in shown.splitlines()]
        assert ["120000", "finished"] in [line[:2] for line in lines]
        assert ["130000", "running"] in [line[:2] for line in lines]


async def test_h_highlights_a_label_of_one_run(folders: list[Path]) -> None:
    app = RunsDashboard(folders)
    async with app.run_test(size=(160, 45)) as pilot:
        await drawn(app, pilot)
        for keys, bright in (
            (("h",), {"120000/E2E"}),
            (("h", "h", "h"), {"130000/E2E"}),
            (("H",), {"120000/1E"}),
        ):
            await pilot.press(*keys)
            picture = app.query_one("#metric Chart", Chart)._picture
            assert picture is not None
            assert {curve.name for curve in picture.curves if not curve.dimmed} == bright
        await pilot.press("escape")
        picture = app.query_one("#metric Chart", Chart)._picture
        assert picture is not None
        assert not any(curve.dimmed for curve in picture.curves)


async def test_leaving_ends_no_run(folders: list[Path]) -> None:
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
    app = RunsDashboard(folders)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
    assert not app.is_running
    assert {path: path.read_bytes() for path in before} == before
    assert not any((folder / "commands").exists() for folder in folders)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a-20260101-000000", "b-20260101-000000"], ["a", "b"]),
        (["a-20260101-000000", "a-20260101-000001"], ["000000", "000001"]),
        (["a-20260101-000000", "a-20260101-000000-1"], ["000000", "000000-1"]),
        (["a-20260101-000000", "a-20260102-000000"], ["1 a-20260101-0000…", "2 a-20260102-0000…"]),
        (["mine", "yours"], ["mine", "yours"]),
    ],
)
def test_short_names_tell_runs_apart(names: list[str], short: list[str]) -> None:
    found = short_names([Path("runs") / name for name in names])
    assert [word[:10] for word in found] == [word[:10] for word in short]
    assert len(set(found)) == len(names)
