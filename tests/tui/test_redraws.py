"""One change, one scene, one drawing; and the keys of a screen belong to that screen."""

from collections import Counter
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui.logs import build
from tui.pictures import normal

from grambench.tui.app import Dashboard
from grambench.tui.replay import Replay, ReplayDashboard
from grambench.tui.screens import help as help_module
from grambench.tui.screens.race import RaceScreen
from grambench.tui.screens.run import RunScreen


async def settled(pilot: Pilot[str | None]) -> None:
    """Everything is read, and every message of the screen's widgets is handled."""
    assert isinstance(pilot.app, Dashboard)
    while pilot.app._reader.share_read < 1:
        await pilot.pause(0.02)
    for _ in range(4):
        await pilot.pause()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each screen drew a whole scene."""
    counter: Counter[str] = Counter()
    draw = RunScreen._show

    def counted(self: RunScreen) -> None:
        counter[type(self).__name__] += 1
        draw(self)

    monkeypatch.setattr(RunScreen, "_show", counted)
    return counter


@pytest.mark.parametrize(("size", "keys"), [((160, 45), "vy"), ((80, 24), "jm"), ((60, 20), "lt")])
async def test_a_second_drawing_adds_nothing(size: tuple[int, int], keys: str, tmp_path: Path) -> None:
    app = Dashboard(build("finished", tmp_path / "run"))
    async with app.run_test(size=size) as pilot:
        for key in ("", *keys):
            if key:
                await pilot.press(key)
            await settled(pilot)
            once = normal(app.export_screenshot())
            app.redraw()
            await settled(pilot)
            assert normal(app.export_screenshot()) == once, f"after {key or 'the start'}"


async def test_a_change_is_drawn_once(tmp_path: Path, shown: Counter[str]) -> None:
    app = Dashboard(build("finished", tmp_path / "run"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        for key, drawn in (("t", 1), ("a", 0), ("left", 0), ("m", 1), ("escape", 1)):
            shown.clear()
            await pilot.press(key)
            await settled(pilot)
            assert shown["RaceScreen"] == drawn, key
        shown.clear()
        await pilot.press("y")
        await settled(pilot)
        app.redraw()
        assert shown["RaceScreen"] == 0  # it is covered
        await pilot.press("escape")
        await settled(pilot)
        assert shown["RaceScreen"] == 1  # it draws what it has missed
        await pilot.press("question_mark", "escape")
        await settled(pilot)
        assert shown["RaceScreen"] == 1  # it has missed nothing


async def test_a_replay_draws_only_while_time_passes(tmp_path: Path, shown: Counter[str]) -> None:
    folder = build("finished", tmp_path / "run")
    now_s = [0.0]
    replay = Replay(folder, clock=lambda: now_s[0])
    replay.seek(0.5 * replay.length_s)
    app = ReplayDashboard(folder, replay)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        shown.clear()
        for _ in range(3):
            app._poll()
        await settled(pilot)
        assert not shown
        now_s[0] += 1.0
        app._poll()
        assert shown["ReplayScreen"] == 1


async def test_the_palette_offers_what_the_screen_can_do(tmp_path: Path) -> None:
    app = Dashboard(build("mid", tmp_path / "run"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        commands = {command.title: command.callback for command in app.get_system_commands(app.screen)}
        race = [command.title for command in app.get_system_commands(app.screen)]
        assert len(race) == len(commands)
        # Textual's own would leave a run without asking, and take themes that lack our colours
        assert (commands["Quit"], commands["Theme"]) == (app.action_leave, app.action_theme)
        await pilot.press("y")
        await settled(pilot)
        system = {command.title for command in app.get_system_commands(app.screen)}
        assert set(race) - system >= {"Axis", "Logarithmic", "Smooth", "Target", "Log"}
        assert {"Pause", "Skip strategy", "Stop the run", "Mark", "Export", "Quit"} <= system


def test_the_help_names_every_key() -> None:
    signs = {
        "question_mark": "?",
        "left": "←",
        "right": "→",
        "up": "↑",
        "down": "↓",
        "pageup": "pgup",
        "pagedown": "pgdn",
        "escape": "esc",
    }
    listed = {"?"} | {sign for keys, _ in help_module.KEYS for sign in keys.split()}
    keys = [
        key
        for owner in (Dashboard, RunScreen, RaceScreen)
        for binding in owner.BINDINGS
        for key in binding.key.split(",")  # type: ignore[union-attr]
    ]
    assert {signs.get(key, key) for key in keys} - listed == {"ctrl+q"}
