"""The dashboard driven by keys at many sizes, over fixture logs with frozen clocks."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from textual.content import Content
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Static
from textual.widgets._footer import FooterKey
from tui.logs import COURSES, STATES, Recorder, audit, build, finish, prepare, start, trial
from tui.pictures import faults

from grambench.events import journal
from grambench.events import types as ev
from grambench.events.reader import read_run
from grambench.runner.rundir import PID_FILE
from grambench.tui import app as module
from grambench.tui.app import Dashboard
from grambench.tui.budget import LONGEST_S, Budget
from grambench.tui.layout import Density, plan
from grambench.tui.screens.help import HelpScreen
from grambench.tui.screens.leave import LeaveScreen
from grambench.tui.screens.race import RaceScreen
from grambench.tui.widgets.board import Board
from grambench.tui.widgets.card import Card
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.header import Header
from grambench.tui.widgets.log import LogView
from grambench.tui.widgets.panel import Panel
from grambench.tui.widgets.text import Text

SIZES = [(60, 24), (100, 20), (120, 40), (200, 60), (80, 80), (300, 80)]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], Dashboard]:
    return lambda state: Dashboard(build(state, tmp_path / state))


async def until(pilot: Pilot[str | None], holds: Callable[[], bool]) -> None:
    """Wait for what a poll of the logs brings, at most ten seconds."""
    for _ in range(100):
        if holds():
            break
        await pilot.pause(0.1)
    await pilot.pause()
    assert holds()


async def drawn(pilot: Pilot[str | None]) -> None:
    await pilot.pause()
    await pilot.pause()


def parts(app: Dashboard) -> list[Widget]:
    """Everything that has a place of its own on the screen."""
    names = ("#header", ".card", ".panel", "#banner", "Footer")
    found = [widget for name in names for widget in app.screen.query(name)]
    return [widget for widget in found if widget.display and widget.region.area]


def assert_whole(app: Dashboard) -> None:
    """Nothing overlaps, nothing is cut off; the body may scroll, but never sideways."""
    body = app.screen.query_one("#body")
    shown: list[tuple[Widget, Region]] = []
    for widget in parts(app):
        region = widget.region
        if body in widget.ancestors:
            wide = Region(body.region.x, -1000, body.scrollable_content_region.width, 10_000)
            assert wide.contains_region(region), f"{widget} at {region} is wider than the body"
            if body.max_scroll_y > 0:
                region = region.intersection(body.region)
        assert app.screen.region.contains_region(region), f"{widget} at {region} leaves the screen"
        shown.append((widget, region))
    for (one, here), (other, there) in combinations(shown, 2):
        assert not here.overlaps(there), f"{one} at {here} and {other} at {there} overlap"


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_overlaps_at_any_size(run: Callable[[str], Dashboard], size: tuple[int, int]) -> None:
    app = run("mid")
    async with app.run_test(size=size) as pilot:
        await drawn(pilot)
        assert_whole(app)
        assert app.query_one("#body").max_scroll_y == 0


async def test_a_leaderboard_that_scrolls_leaves_its_scrollbar_a_column(tmp_path: Path) -> None:
    recorder, names = Recorder(tmp_path), ("e2e", "gram-1s", "gram-1e")
    start(recorder, [f"{name}.s{seed}" for seed in range(8) for name in names])
    prepare(recorder)
    audit(recorder)
    for seed in range(8):
        for name in names:
            trial(recorder, COURSES[name], seed=seed, epochs=1.0)
    finish(recorder)
    for width in (108, 140, 164):
        app = Dashboard(tmp_path)
        async with app.run_test(size=(width, 45)) as pilot:
            for _ in range(3):
                await drawn(pilot)
            board = app.screen.query_one(Board)
            content = board.query_one(Text).content
            assert isinstance(content, Content)
            assert board.show_vertical_scrollbar
            longest = max(map(len, content.plain.splitlines()))
            assert longest <= board.scrollable_content_region.width, width


@pytest.mark.parametrize("state", list(STATES))
async def test_every_state_is_whole_on_a_small_and_a_large_screen(
    run: Callable[[str], Dashboard], state: str
) -> None:
    app = run(state)
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert_whole(app)
        await pilot.resize_terminal(160, 45)
        await drawn(pilot)
        assert_whole(app)


async def test_a_narrow_screen_loses_the_cards_frames_and_gets_them_back(
    run: Callable[[str], Dashboard],
) -> None:
    app = run("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        assert {card.region.height for card in app.query(Card)} == {Density.TALL}
        await pilot.resize_terminal(60, 24)
        await drawn(pilot)
        cards = list(app.query(Card))
        assert {card.content_size.height for card in cards} == {1}
        assert all("×" in str(card.render()) for card in cards)
        await pilot.resize_terminal(120, 40)
        await drawn(pilot)
        assert {card.content_size.height for card in app.query(Card)} == {Density.TALL - 2}


@pytest.mark.parametrize("width", [60, 80, 99, 100, 120, 160, 200, 320])
@pytest.mark.parametrize("trials", [1, 2, 3, 4, 7, 8, 12, 72])
def test_a_plan_fills_the_body_exactly_or_scrolls(width: int, trials: int) -> None:
    for height in range(20, 81):
        for banner, ranks in ((0, False), (0, True), (1, False), (3, False), (3, True)):
            layout = plan(width, height, trials, banner, ranks=ranks)
            body = height - layout.header - 1 - banner
            used = layout.cards + layout.metric
            used += layout.side + layout.board + layout.log if layout.stacked else layout.board
            assert layout.card_columns * layout.card_rows >= trials
            assert used == body or layout.scrolls
            if not layout.stacked:
                assert layout.board == layout.log
            assert layout.cards + layout.metric <= body or layout.card_rows > 4


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_many_cards_leave_room_for_the_plot_and_show_the_trial_in_training(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    log = Recorder(tmp_path)
    names = [f"{name}.s{seed}" for seed in range(24) for name in COURSES]
    log.write("", ev.RunStarted("r", "demo", names, 1))
    trial(log, COURSES["gram-1e"], seed=20, epochs=1, ends=None)
    app = Dashboard(tmp_path)
    async with app.run_test(size=size) as pilot:
        (card,) = (card for card in app.query(Card) if card.trial_name == "gram-1e.s20")
        box = app.query_one("#cards")
        await until(pilot, lambda: box.region.contains_region(card.region))
        assert box.region.height <= size[1] // 3
        assert app.screen.region.contains_region(app.query_one("#metric").region)
        assert faults(app) == []
        box.scroll_home(animate=False)
        assert isinstance(app.screen, RaceScreen)
        app.screen.show(app.scene)
        await drawn(pilot)
        assert box.scroll_y == 0, "the user scrolls until another trial begins"


async def test_q_leaves_a_finished_run_at_once(run: Callable[[str], Dashboard]) -> None:
    app = run("finished")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert "q to leave, report.json written" in str(app.query_one("#banner").render())
        await pilot.press("q")
    assert app.return_value is None


@pytest.mark.parametrize(
    ("keys", "result"),
    [
        (("q", "s"), "stop"),
        (("ctrl+c", "s"), "stop"),
        (("q", "d"), "detach"),
        (("ctrl+q", "d"), "detach"),
        (("q", "left", "left", "enter"), "stop"),
        (("q", "left", "enter"), "detach"),
    ],
)
async def test_leaving_a_live_run_asks_first(
    run: Callable[[str], Dashboard], keys: tuple[str, ...], result: str
) -> None:
    app = run("mid")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press(keys[0])
        assert isinstance(app.screen, LeaveScreen)
        await pilot.press(*keys[1:])
    assert app.return_value == result


async def test_a_run_that_ends_answers_the_question(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    log = Recorder(folder)
    log.write("", ev.RunStarted("r", "demo", ["e2e.s0"], 1))
    app = Dashboard(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("q")
        assert isinstance(app.screen, LeaveScreen)
        log.write("", ev.RunFinished(0, 1.0))
        for _ in range(100):
            if not app.is_running:
                break
            await asyncio.sleep(0.05)
        assert not app.is_running
    assert app.return_value is None


@pytest.mark.parametrize("key", ["escape", "q", "b", "enter"])
async def test_back_keeps_the_dashboard(run: Callable[[str], Dashboard], key: str) -> None:
    app = run("mid")
    async with app.run_test(size=(60, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("q")
        assert all(app.screen.region.contains_region(button.region) for button in app.screen.query("Button"))
        await pilot.press(key)
        await drawn(pilot)
        assert not isinstance(app.screen, LeaveScreen)
        assert app.is_running


async def test_a_dashboard_that_is_not_to_stay_closes_when_the_run_has_ended(tmp_path: Path) -> None:
    app = Dashboard(build("finished", tmp_path / "run"), stays=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: not app.is_running)
    assert app.return_value is None


async def test_a_replay_is_left_without_a_question(tmp_path: Path) -> None:
    app = Dashboard(build("mid", tmp_path / "run"), live=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await pilot.press("q")
    assert app.return_value is None


async def test_a_dead_runner_is_said_and_needs_no_question(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (folder / PID_FILE).write_text(f'{{"pid": {ended.pid}, "started": ""}}')
    Recorder(folder).write("", ev.RunStarted("r", "demo", ["e2e.s0"], ended.pid))
    app = Dashboard(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: f"no process {ended.pid} here" in str(app.query_one("#banner").render()))
        assert_whole(app)
        await pilot.press("q")
    assert app.return_value is None


async def test_a_poll_while_the_screens_are_being_closed_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    log = Recorder(folder)
    log.write("", ev.RunStarted("r", "demo", ["e2e.s0"], 1))
    app = Dashboard(folder)
    close = app._close_all

    async def close_and_poll() -> None:
        await close()
        assert app.screen_stack == []
        log.write("", ev.RunFinished(0, 1.0))
        app._poll()

    monkeypatch.setattr(app, "_close_all", close_and_poll)
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
    assert not app.state.finished


async def test_help_opens_scrolls_and_closes(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("question_mark")
        await drawn(pilot)
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("pagedown")
        await drawn(pilot)
        assert app.screen.query_one("#help").scroll_offset.y > 0
        await pilot.press("escape")
        await drawn(pilot)
        assert not isinstance(app.screen, HelpScreen)


async def test_the_log_and_any_panel_can_be_alone(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        await pilot.press("l")
        await drawn(pilot)
        assert [widget.id for widget in parts(app) if "panel" in widget.classes] == ["log"]
        assert app.query_one(LogView).region.height > 30
        await pilot.press("l", "m")
        await drawn(pilot)
        await pilot.press("escape")
        await drawn(pilot)
        assert len([widget for widget in parts(app) if "panel" in widget.classes]) == 5
        for name in ("metric", "rate", "memory", "board", "log"):
            await pilot.press("tab")
            assert app.focused is not None
            assert app.focused.id == name
            await pilot.press("m")
            await pilot.pause()
            assert [widget.id for widget in parts(app) if "panel" in widget.classes] == [name]
            assert_whole(app)
            await pilot.press("m")


async def test_the_log_keeps_its_end_in_view(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(160, 45)) as pilot:
        await drawn(pilot)
        log = app.query_one(LogView)
        for key in ("l", "escape"):
            await pilot.press(key)
            await drawn(pilot)
            await until(pilot, lambda: log.scroll_offset.y == log.max_scroll_y)
        assert log.max_scroll_y > 0
        log.scroll_home(animate=False)
        await pilot.resize_terminal(160, 44)
        await drawn(pilot)
        assert log.scroll_offset.y == 0  # the reader has scrolled up


async def test_the_log_keeps_its_end_in_view_behind_another_screen(run: Callable[[str], Dashboard]) -> None:
    app = run("failing")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        log = app.query_one(LogView)
        await pilot.press("v")
        await pilot.resize_terminal(160, 45)
        await drawn(pilot)
        await pilot.press("escape")
        app.redraw()
        await until(pilot, lambda: 0 < log.max_scroll_y == log.scroll_offset.y)


async def test_the_theme_changes_the_colours_of_data_too(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        before = app.export_screenshot()
        await pilot.press("t")
        await drawn(pilot)
        after = app.export_screenshot()
        assert "#e69f00" in before.lower()
        assert "#e69f00" not in after.lower()


def keys_of(app: Dashboard) -> list[str]:
    return [key.description for key in app.screen.query(FooterKey) if key.region.area]


@pytest.mark.parametrize(
    ("size", "last", "most"), [((60, 24), "target", 7), ((80, 24), "palette", 8), ((200, 60), "palette", 19)]
)
async def test_the_footer_shows_as_many_of_our_keys_as_fit(
    size: tuple[int, int], last: str, most: int, run: Callable[[str], Dashboard]
) -> None:
    app = run("mid")
    async with app.run_test(size=(70, 24)) as pilot:
        await pilot.press("tab")
        await pilot.resize_terminal(*size)
        await drawn(pilot)
        keys = keys_of(app)
        assert keys[:5] == ["quit", "help", "pause", "strategy", "system"]
        assert (keys[-1], len(keys)) == (last, most)
        assert [fault for fault in faults(app) if "Footer" in fault or "columns" in fault] == []


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 45)])
async def test_a_pause_cannot_be_missed(size: tuple[int, int], run: Callable[[str], Dashboard]) -> None:
    app = run("paused")
    async with app.run_test(size=size) as pilot:
        await drawn(pilot)
        banner = app.query_one("#banner", Static)
        assert str(banner.content) == "‖ PAUSED – nothing trains; p resumes"
        assert banner.styles.background.hex == app.theme_variables["warning"].upper()
        assert banner.region.width == size[0]
        words = [app.scene.state_word(trial) for trial in app.state.trials.values()]
        assert "paused" in words
        assert "training" not in words
        for key in ("y", "j", "v"):
            await pilot.press(key)
            await drawn(pilot)
            assert " PAUSED " in str(app.screen.query_one(Header).render())
        app.state.paused = False
        await pilot.press("escape")
        app.redraw()
        await drawn(pilot)
        assert not banner.display


async def test_new_events_are_drawn_and_silence_draws_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    STATES["first"](recorder)
    app = Dashboard(tmp_path)
    async with app.run_test(size=(160, 45)) as pilot:
        await drawn(pilot)
        metric = app.query_one("#metric", Panel).query_one(Chart)
        assert metric.drawn == 0
        empty = str(app.query_one("#metric .empty").render())
        assert "first validation after epoch 1" in empty
        trial(recorder, COURSES["gram-1e"], epochs=2.0, ends=None)
        await until(pilot, lambda: metric.drawn > 0)
        assert metric.display
        await pilot.pause(0.3)
        frames = metric.drawn
        await pilot.pause(0.6)
        assert metric.drawn == frames


async def test_a_trial_that_appears_later_gets_a_card(tmp_path: Path) -> None:
    app = Dashboard(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        assert not app.query(Card)
        assert "waiting for the run's first event" in str(app.query_one("#metric .empty").render())
        Recorder(tmp_path).write("", ev.RunStarted("r", "demo", ["e2e.s0", "gram-1s.s0"], 1))
        await until(pilot, lambda: len(app.query(Card)) == 2)
        assert_whole(app)


async def test_setup_shows_its_progress_and_later_the_verdict_stays(run: Callable[[str], Dashboard]) -> None:
    app = run("setup")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        assert "tokenising titles  12,000 / 51,282" in str(app.query_one("#metric .empty").render())
    app = run("mid")
    async with app.run_test(size=(60, 24)) as pilot:
        await drawn(pilot)
        assert "✓ 1S = E2E to 3e-15" in str(app.query_one("#header").render())


async def test_missing_numbers_are_dashes_never_zeros(run: Callable[[str], Dashboard]) -> None:
    app = run("auditing")
    async with app.run_test(size=(160, 45)) as pilot:
        await drawn(pilot)
        for card in app.query(Card):
            assert "–" in str(card.render())
            assert "0" not in str(card.render())


async def test_hostile_text_reaches_no_screen_unescaped(run: Callable[[str], Dashboard]) -> None:
    app = run("hostile")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        assert_whole(app)
        picture = app.export_screenshot()
        assert not set("\x1b\x9b\u202e\u2067\u2028") & set(picture)
        assert "[/b]" in str(app.query_one("#header").render())


async def test_markers_tell_strategies_apart_without_colour(
    run: Callable[[str], Dashboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = run("seven")
    async with app.run_test(size=(160, 45)) as pilot:
        await drawn(pilot)
        assert app.no_color
        rows = str(app.query_one("#board Text").render()).split("\n")[1:]
        assert len({row[0] for row in rows}) == 7


def test_drawing_is_spread_over_time_by_what_it_costs() -> None:
    wall, spent = [100.0], [5.0]
    budget = Budget(0.01, lambda: wall[0], lambda: spent[0])
    assert budget.allows_drawing()  # the first news
    budget.drawn()
    spent[0] += 0.012  # 12 ms of work: 1.2 s at one hundredth of a processor
    wall[0] += 1.1
    assert not budget.allows_drawing()
    wall[0] += 0.11
    assert budget.allows_drawing()
    budget.drawn()
    spent[0] += 10.0
    wall[0] += LONGEST_S
    assert budget.allows_drawing()


async def test_a_long_log_is_read_in_parts_and_says_how_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("eight", tmp_path / "run")
    monkeypatch.setattr(module, "READING_S", 0.0)
    monkeypatch.setattr(journal, "_READ_BYTES", 4096)
    app = Dashboard(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        banner = app.query_one("#banner", Static)
        assert re.match(r"▸ reading the log, \d+%", str(banner.content))
        monkeypatch.setattr(module, "READING_S", 60.0)
        app._poll()
        app.redraw()
        await pilot.pause()
        assert app.state == read_run(folder)
        assert not banner.display


@pytest.mark.parametrize("part", ["#banner", "#cards", "#log"])
async def test_a_frame_on_the_way_out_finds_no_widgets_and_draws_nothing(
    part: str, run: Callable[[str], Dashboard]
) -> None:
    app = run("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await app.query_one(part).remove()
        app.redraw()


async def test_what_is_wrong_with_the_logs_stands_at_the_end_of_the_log(tmp_path: Path) -> None:
    folder = build("mid", tmp_path / "run")
    path = folder / "e2e.s0" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"junk\n", *lines[7:]]))
    app = Dashboard(folder)
    async with app.run_test(size=(160, 45)) as pilot:
        for _ in range(4):
            await pilot.pause()
        view = app.query_one(LogView)
        shown = "\n".join(
            "".join(segment.text for segment in view.render_line(y)) for y in range(view.size.height)
        )
    words = " ".join(shown.split())
    assert "1 line of e2e.s0 is damaged, skipped" in words
    assert "2 lines of e2e.s0 are missing, of lines 5 to 7" in words
