"""A finished run played again: with a clock that the test turns."""

from pathlib import Path

import pytest
from textual.widgets import Static
from textual.widgets._footer import FooterKey
from tui.logs import build

from grambench.events.fold import Fold
from grambench.events.reader import read_records, read_run
from grambench.tui import replay as module
from grambench.tui.app import Dashboard
from grambench.tui.replay import Replay, ReplayDashboard, ReplayScreen


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replay(tmp_path: Path, clock: Clock) -> Replay:
    return Replay(build("finished", tmp_path / "run"), speed=10.0, clock=clock)


def state_at(folder: Path, place_s: float) -> object:
    """The fold of all that was written until then."""
    scratch, fold = Fold(), Fold()
    for source, record in read_records(folder):
        scratch.apply(source, record)
        if scratch.state.elapsed_s <= place_s:
            fold.apply(source, record)
    return fold.state


def test_time_runs_at_its_speed_and_ends_with_the_run(replay: Replay, clock: Clock, tmp_path: Path) -> None:
    replay.poll()
    assert (replay.place_s, replay.state.finished) == (0.0, False)
    clock.now_s += 6.0
    assert replay.poll() > 0
    assert replay.place_s == 60.0
    assert replay.state == state_at(tmp_path / "run", 60.0)
    clock.now_s += 1e6
    replay.poll()
    assert replay.place_s == replay.length_s
    assert replay.state == read_run(tmp_path / "run")


def test_a_pause_stands_still(replay: Replay, clock: Clock) -> None:
    replay.poll()
    replay.paused = True
    clock.now_s += 50.0
    assert replay.poll() == 0
    replay.paused = False
    clock.now_s += 1.0
    replay.poll()
    assert replay.place_s == 10.0


@pytest.mark.parametrize("places", [(300.0, 100.0), (50.0, 40.0, 400.0), (1e9, -5.0), (0.0,)])
def test_any_moment_is_what_it_was(replay: Replay, places: tuple[float, ...], tmp_path: Path) -> None:
    for place_s in places:
        replay.seek(place_s)
        inside = min(replay.length_s, max(0.0, place_s))
        assert replay.place_s == inside
        assert replay.state == state_at(tmp_path / "run", inside)


def test_a_place_far_away_is_read_by_and_by_while_time_stands_still(
    replay: Replay, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay.poll()
    monkeypatch.setattr(module, "SEEKING_S", 0.0)
    replay.seek(200.0)
    shares = [replay.share_read]
    while replay.share_read < 1:
        clock.now_s += 1.0
        assert replay.poll(0.0) == 1
        assert replay.place_s == 200.0
        shares.append(replay.share_read)
    assert shares == sorted(shares)
    assert len(shares) > 20
    assert replay.state == state_at(tmp_path / "run", 200.0)


async def test_keys_pause_scrub_and_change_the_speed(replay: Replay, clock: Clock, tmp_path: Path) -> None:
    app = ReplayDashboard(tmp_path / "run", replay)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("end")
        assert replay.place_s == replay.length_s
        await pilot.press("left")
        assert replay.place_s == replay.length_s - 5
        await pilot.press("home", "right", "right")
        assert replay.place_s == 10.0
        await pilot.press("plus", "plus", "minus")
        assert replay.speed == 20.0
        await pilot.press("space")
        assert replay.paused
        await pilot.pause()
        said = str(app.query_one("#banner", Static).content)
        assert said.startswith("‖ 20×  0:10 / ")
        offered = [key.description for key in app.screen.query(FooterKey) if key.region.area]
        assert offered[:5] == ["quit", "help", "play", "5 s", "speed"]
        assert not {"pause", "skip", "stop", "detach", "note", "export"} & set(offered)
        await pilot.press("space", "end")
        await pilot.pause()
        assert str(app.query_one("#banner", Static).content).startswith("‖ ")  # nothing plays
        await pilot.press("space")
        assert (replay.paused, replay.place_s) == (False, 0.0)
        await pilot.press("q")
    assert app.return_value is None


async def test_a_replay_lists_its_own_keys_and_none_that_cannot_work(replay: Replay, tmp_path: Path) -> None:
    app = ReplayDashboard(tmp_path / "run", replay)
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.press("p", "s", "x", "d", "n", "e")
        await pilot.pause()
        assert (len(app.screen_stack), list(app._notifications)) == (1, [])
        assert app.is_running
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert not titles & {"Pause", "Resume", "Skip strategy", "Stop the run", "Detach", "Mark", "Export"}
        for screen_key in ("y", "v", "j"):
            await pilot.press(screen_key)
            await pilot.pause()
            assert "pause" not in [key.description for key in app.screen.query(FooterKey)]
        await pilot.press("escape", "question_mark")
        await pilot.pause()
        said = str(app.screen.query_one("#rows", Static).content)
        listed = {line.split("  ")[0] for line in said.split("\n")[1 : said.split("\n").index("")]}
        assert listed >= {"space", "← →", "home end", "+ −", "q", "V"}
        assert not listed & {"p", "s", "x", "d", "n", "e"}
        assert not [key for key in app.query(FooterKey) if key.description == "pause"]


async def test_the_end_of_a_replay_looks_like_the_end_of_the_run(replay: Replay, tmp_path: Path) -> None:
    app, dashboard = ReplayDashboard(tmp_path / "run", replay), Dashboard(tmp_path / "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        replayed = app.query_one("#board Text", Static).content
    async with dashboard.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert dashboard.query_one("#board Text", Static).content.is_same(replayed)


@pytest.mark.parametrize("width", [60, 80, 200])
async def test_the_bar_fits_any_width(width: int, replay: Replay, tmp_path: Path) -> None:
    app = ReplayDashboard(tmp_path / "run", replay)
    async with app.run_test(size=(width, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, ReplayScreen)
        assert app.screen.banner(app.scene).cell_length <= width - 2
