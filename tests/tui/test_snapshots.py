"""Every screen in every size class, as SVG; `pytest --snapshot-update` accepts a change.

Not the full product: each pair of screen and size once; looks, machines and numbers of strategies
rotate, so that every screen meets each of them.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot
from textual.widgets import Input
from tui.logs import build
from tui.pictures import colours, faults, normal

from grambench.tui.app import Dashboard
from grambench.tui.replay import Replay, ReplayDashboard

SIZES = ((60, 20), (80, 24), (100, 30), (120, 40), (160, 45), (240, 80))
STATES = ("mid", "one", "eight", "failing", "cpu", "eight")
LOOKS = ("dark", "light", "mono")
SCREENS: dict[str, tuple[str, ...]] = {
    "race": (),
    "strategy": ("v",),
    "system": ("y",),
    "events": ("j",),
    "help": ("question_mark",),
    "leave": ("q",),
    "skip": ("s",),
    "mark": ("n",),
    "replay": (),
    "maximised": ("m",),
    "verdict": ("V",),
}
PANELS = ("metric", "board", "log")
"""Which panel is maximised, in turn."""


@dataclass(frozen=True)
class Shot:
    """A screen, what it shows, and how."""

    screen: str
    state: str
    size: tuple[int, int]
    look: str = "dark"
    panel: str = ""

    def __str__(self) -> str:
        parts = (self.screen, self.panel, self.state, f"{self.size[0]}x{self.size[1]}", self.look)
        return "-".join(part for part in parts if part)


def _matrix() -> list[Shot]:
    shots = []
    for row, screen in enumerate(SCREENS):
        for column, size in enumerate(SIZES):
            turn = row + column
            panel = PANELS[column % 3] if screen == "maximised" else ""
            # looks go a step further after three sizes, so that no size has one look only
            look = LOOKS[(turn + column // 3) % 3]
            shots.append(Shot(screen, STATES[turn % len(STATES)], size, look, panel))
    return shots


OTHERS = [
    Shot("race", "mid", (60, 24)),
    Shot("race", "mid", (120, 40)),
    Shot("race", "mid", (120, 40), "light"),
    Shot("race", "setup", (120, 40)),
    Shot("race", "first", (80, 24)),
    Shot("race", "paused", (80, 24)),
    Shot("race", "paused", (160, 45), "light"),
    Shot("system", "paused", (60, 20), "mono"),
    Shot("race", "seven", (120, 40)),
    Shot("race", "six", (160, 45)),
    Shot("race", "trouble", (120, 40)),
    Shot("race", "finished", (200, 60)),
    Shot("race", "finished", (80, 24)),
    Shot("race", "six", (80, 24)),
    Shot("race", "modern", (80, 24)),
    Shot("race", "modern", (120, 40), "mono"),
    Shot("race", "six", (160, 45), "light"),
    Shot("verdict", "six", (80, 24)),
    Shot("verdict", "finished", (160, 45), "light"),
    Shot("race", "hostile", (80, 24)),
    Shot("race", "hostile", (120, 40)),
    Shot("strategy", "hostile", (80, 24)),
    Shot("race", "ranks", (80, 24)),
    Shot("race", "ranks", (160, 45), "light"),
    Shot("system", "ranks", (80, 24)),
    Shot("system", "many_ranks", (80, 24), "light"),
    Shot("system", "many_ranks", (160, 45)),
]
SHOTS = [*_matrix(), *OTHERS]


class Svg(SingleFileSnapshotExtension):
    """One readable file per shot."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT


def _app(shot: Shot, folder: Path) -> Dashboard:
    build(shot.state, folder)
    if shot.screen != "replay":
        return Dashboard(folder)
    replay = Replay(folder, clock=lambda: 0.0)  # no time passes
    replay.seek(0.7 * replay.length_s)
    return ReplayDashboard(folder, replay)


async def _drawn(app: Dashboard, pilot: Pilot[str | None]) -> None:
    """Until all is read and every panel has been drawn in its own size, however slow the machine is."""
    while not isinstance(app, ReplayDashboard) and app._reader.share_read < 1:
        await pilot.pause(0.02)
    for _ in range(3):
        await pilot.pause()
        app.redraw()
    await pilot.pause()


async def _shoot(shot: Shot, folder: Path) -> str:
    app = _app(shot, folder)
    async with app.run_test(size=shot.size) as pilot:
        await _drawn(app, pilot)
        if shot.look == "light":
            await pilot.press("t")
        if shot.panel:
            app.screen.query_one(f"#{shot.panel}").focus()
        await pilot.press(*SCREENS[shot.screen])
        await _drawn(app, pilot)
        for line in app.screen.query(Input):
            line.cursor_blink = False  # else it is there or not, as time goes by
        await pilot.pause()
        assert faults(app) == []
        return app.export_screenshot()


@pytest.mark.parametrize("shot", SHOTS, ids=str)
async def test_screen(
    shot: Shot, tmp_path: Path, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shot.look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    picture = await _shoot(shot, tmp_path / "run")
    if shot.look == "mono":
        assert colours(picture) == set()
    assert normal(picture) == snapshot(extension_class=Svg)


def test_every_screen_meets_every_look_machine_and_number_of_strategies() -> None:
    shots = _matrix()
    assert {(shot.screen, shot.size) for shot in shots} == {(s, size) for s in SCREENS for size in SIZES}
    for screen in SCREENS:
        assert {shot.look for shot in shots if shot.screen == screen} == set(LOOKS)
        assert {shot.state for shot in shots if shot.screen == screen} == set(STATES)
