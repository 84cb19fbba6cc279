"""Keys and palette: what they ask of the run, and how they change the view."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input, Static
from textual.widgets._footer import FooterKey
from tui.logs import build

from grambench.runner import commands
from grambench.runner.commands import Command, take
from grambench.runner.rundir import write_pid
from grambench.tui.app import Dashboard
from grambench.tui.screens.ask import ConfirmScreen, PromptScreen
from grambench.tui.screens.race import RaceScreen
from grambench.tui.view import View, smoothed
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.panel import Panel
from grambench.views.axes import x_scale, x_ticks
from grambench.views.comparison_table import ordered


@pytest.fixture
def live(tmp_path: Path) -> Callable[[str], Dashboard]:
    """A dashboard of a run whose supervisor is this process."""

    def make(state: str) -> Dashboard:
        folder = build(state, tmp_path / state)
        write_pid(folder)
        return Dashboard(folder)

    return make


async def pressed(pilot: Pilot[str | None], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()
    await pilot.pause()


def sent(app: Dashboard) -> list[Command]:
    return take(app._folder)


def _offered(app: Dashboard, key: str) -> str:
    """What the footer says of a key."""
    (found,) = (shown.description for shown in app.screen.query(FooterKey) if shown.key == key)
    return found


def race_of(app: Dashboard) -> RaceScreen:
    """The screen shown, which is the race."""
    assert isinstance(app.screen, RaceScreen)
    return app.screen


def board_of(app: Dashboard) -> str:
    """The leaderboard without styles."""
    content = app.query_one("#board Text", Static).content
    assert isinstance(content, Content)
    return content.plain


async def test_pause_asks_the_supervisor(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await pressed(pilot, "p")
        assert sent(app) == [Command("pause")]
        assert _offered(app, "p") == "pause"
        app.state.paused = True
        app.redraw()
        await pressed(pilot, "p")
        assert sent(app) == [Command("resume")]
        assert _offered(app, "p") == "resume"
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert titles & {"Pause", "Resume"} == {"Resume"}


async def test_skip_asks_first_and_names_the_strategy(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await pressed(pilot, "s")
        assert isinstance(app.screen, ConfirmScreen)
        await pressed(pilot, "enter")  # the harmless button has the focus
        assert sent(app) == []
        await pressed(pilot, "s", "y")
        assert sent(app) == [Command("skip", app.state.active)]


async def test_h_highlights_one_label_in_every_panel(live: Callable[[str], Dashboard]) -> None:
    app = live("modern")
    async with app.run_test(size=(120, 30)) as pilot:
        await pressed(pilot)
        metric, board = app.screen.query_one("#metric", Panel), app.screen.query_one("#board")
        assert metric.border_subtitle == "h: highlight one of 12"
        await pressed(pilot, "H", "H")
        assert metric.border_subtitle == "◧ side-1s, h: next, esc: all"
        for panel in ("#metric", "#rate"):
            picture = app.screen.query_one(f"{panel} Chart", Chart)._picture
            assert picture is not None
            assert [curve.name for curve in picture.curves if not curve.dimmed] == ["side-1s"]
        place = [trial.label for trial in ordered(app.state)].index("side-1s") + 1
        assert board.scroll_y <= place < board.scroll_y + board.size.height
        await pressed(pilot, "h", "h")
        assert metric.border_subtitle == "h: highlight one of 12"
        await pressed(pilot, "h", "escape")
        assert race_of(app).view == View()


async def test_a_read_out_of_many_labels_is_whole(live: Callable[[str], Dashboard]) -> None:
    app = live("modern")
    async with app.run_test(size=(120, 30)) as pilot:
        await pressed(pilot, "left")
        text = str(app.screen.query_one("#metric", Panel).border_subtitle)
        assert re.fullmatch(r"\d:\d\d(  [^ ] 0\.\d{4})+", text)
        values = [float(word) for word in text.split() if word.startswith("0.")]
        assert values == sorted(values, reverse=True)
        assert values[0] == 0.6650


async def test_stop_asks_first(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(80, 24)) as pilot:
        await pressed(pilot, "x", "escape")
        assert sent(app) == []
        await pressed(pilot, "x", "left", "enter")
        assert sent(app) == [Command("stop")]


async def test_a_mark_is_a_sentence_of_the_viewer(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(80, 24)) as pilot:
        await pressed(pilot, "n")
        assert isinstance(app.screen, PromptScreen)
        await pressed(pilot, *"lunch", "enter")
        assert sent(app) == [Command("mark", text="lunch")]
        await pressed(pilot, "n", "escape")
        assert sent(app) == []


async def test_detach_leaves_the_run_alone(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(80, 24)) as pilot:
        await pressed(pilot, "d")
    assert app.return_value == "detach"
    assert sent(app) == []


@pytest.mark.parametrize("key", "psxn")
async def test_a_run_that_is_over_is_asked_nothing(key: str, live: Callable[[str], Dashboard]) -> None:
    app = live("finished")
    async with app.run_test(size=(80, 24)) as pilot:
        await pressed(pilot, key)
        assert (len(app.screen_stack), list(app._notifications), sent(app)) == (1, [], [])
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert not titles & {"Pause", "Resume", "Skip strategy", "Stop the run", "Detach", "Mark"}


async def test_a_supervisor_that_is_gone_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Dashboard(build("mid", tmp_path / "run"))
    monkeypatch.setattr(commands, "supervisor_of", lambda _: None)
    async with app.run_test(size=(80, 24)) as pilot:
        await pressed(pilot, "p")
        (note,) = app._notifications
        assert "is not running" in note.message


async def test_export_leaves_a_report_and_a_picture(live: Callable[[str], Dashboard]) -> None:
    app = live("finished")
    (app._folder / "run.json").write_text(json.dumps(RUN_FILE))
    async with app.run_test(size=(120, 40)) as pilot:
        await pressed(pilot, "e")
        (picture,) = (app._folder / "exports").glob("screen-*.svg")
        assert picture.read_text().startswith("<svg")
        assert json.loads((app._folder / "report.json").read_text())["trials"]


RUN_FILE = {
    "schema_version": 1,
    "run": "r",
    "preset": "mind-small",
    "spec": {},
    "spec_sha256": "0" * 64,
    "created": "2026-01-01T00:00:00+00:00",
    "command": [],
    "host": {},
}


async def test_keys_change_the_axis_its_scale_and_the_curves(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        panel = app.query_one("#metric", Panel)
        assert panel.border_title == "validation AUC over training time"
        await pressed(pilot, "a")
        assert panel.border_title == "validation AUC over steps"
        await pressed(pilot, "o", "z")
        assert panel.border_title == "validation AUC over steps (log, smoothed)"
        await pressed(pilot, "a")
        assert "joules" in panel.border_title
        await pressed(pilot, "a", "o", "z")
        assert panel.border_title == "validation AUC over training time"


async def test_the_read_out_follows_the_mouse_and_leaves_with_it(live: Callable[[str], Dashboard]) -> None:
    app = live("finished")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        metric = app.query_one("#metric", Panel)
        chart = metric.query_one(Chart)
        await pilot.hover(chart, offset=(chart.size.width // 2, 3))
        await pilot.pause()
        middle = metric.border_subtitle
        assert "E2E 0." in str(middle)
        assert race_of(app).view.cursor == pytest.approx(0.5, abs=0.06)
        await pilot.hover(chart, offset=(chart.size.width - 1, 3))
        await pilot.pause()
        assert race_of(app).view.cursor == 1
        assert metric.border_subtitle != middle
        await pilot.hover("#board")
        await pilot.pause()
        assert race_of(app).view.cursor is None
        assert not metric.border_subtitle


async def test_the_cursor_reads_every_curve_and_escape_takes_it_away(
    live: Callable[[str], Dashboard],
) -> None:
    app = live("finished")
    async with app.run_test(size=(120, 40)) as pilot:
        panel = app.query_one("#metric", Panel)
        await pressed(pilot, "left")
        assert "E2E 0." in panel.border_subtitle
        assert "1E 0." in panel.border_subtitle
        right = panel.border_subtitle
        await pressed(pilot, *["left"] * 25)
        assert panel.border_subtitle != right
        await pressed(pilot, "escape")
        assert not panel.border_subtitle


async def test_a_target_is_a_line_and_a_column(live: Callable[[str], Dashboard]) -> None:
    app = live("finished")
    async with app.run_test(size=(200, 60)) as pilot:
        await pressed(pilot, "g", *"0.65", "enter")
        assert race_of(app).view.target == 0.65
        assert "s to 0.65" in board_of(app)
        await pressed(pilot, "g")
        assert app.screen.query_one(Input).value == "0.65"
        await pressed(pilot, *"7", "enter")
        assert race_of(app).view.target == 0.65
        await pressed(pilot, "g", "backspace", "enter")
        assert race_of(app).view.target is None
        assert "s to" not in board_of(app).replace("s to best", "")


async def test_the_palette_has_every_action(live: Callable[[str], Dashboard]) -> None:
    app = live("mid")
    async with app.run_test(size=(80, 24)):
        helps = {command.title: command.help for command in app.get_system_commands(app.screen)}
    assert helps["Pause"].startswith("p  ")
    assert helps["Help"].startswith("?  ")
    assert helps.keys() >= {
        *("Pause", "Skip strategy", "Stop the run", "Detach", "Mark", "Export", "Axis"),
        *("Logarithmic", "Smooth", "Target", "Help", "Theme", "Log", "Quit"),
    }


def test_axes_take_turns_and_joules_only_where_there_are_some() -> None:
    assert [View(x_axis=axis).next_axis(True) for axis in ("seconds", "steps", "joules")] == [
        *("steps", "joules", "seconds"),
    ]
    assert View(x_axis="steps").next_axis(False) == "seconds"


def test_smoothing_is_a_moving_average() -> None:
    assert smoothed([(1, 1.0), (2, 2.0), (3, 2.0)]) == [(1, 1.0), (2, 1.5), (3, 1.75)]


def test_a_logarithmic_axis_shows_real_values() -> None:
    scale = x_scale([(900.0, 8), (30.0, 8)], [3.0, 30.0, 900.0], 80, logarithmic=True)
    assert scale.cells(3.0) == 0
    assert scale.cells(1.0) == 0
    assert scale.cells(900.0) <= 72
    assert scale.value(0.0) == 3.0
    labels = [label for _, label in x_ticks(scale, "s", 12)]
    assert (
        labels == ["5 s", "10 s", "20 s", "50 s", "1.7 min", "3.3 min", "8.3 min", "16.7 min"]
        or "10 s" in labels
    )
    assert not any("e" in label for label in labels)


def test_a_linear_axis_leaves_room_for_every_name() -> None:
    scale = x_scale([(100.0, 10), (90.0, 30)], [90.0, 100.0], 80)
    assert scale.cells(100.0) <= 70
    assert scale.cells(90.0) <= 50
    assert x_scale([], [], 40).cells(0.0) == 0
