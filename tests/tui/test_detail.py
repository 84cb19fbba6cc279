"""The screens beside the race: facts that are there, and words where they are not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static
from tui.logs import STATES, build

from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.events.folding.sentences import SENTENCES
from grambench.events.reader import read_run
from grambench.events.state import RunState
from grambench.tui.app import Dashboard
from grambench.tui.detail_text import machine_text, strategy_text
from grambench.tui.scene import Scene
from grambench.tui.screens.detail import EventsScreen, StrategyScreen, SystemScreen
from grambench.tui.screens.leave import LeaveScreen
from grambench.tui.widgets.card import Card
from grambench.tui.widgets.chart import Chart
from grambench.tui.widgets.log import LogView

SIZES = [(60, 20), (80, 24), (120, 40), (160, 45), (200, 60), (240, 80)]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], Dashboard]:
    return lambda state: Dashboard(build(state, tmp_path / state))


async def shown(pilot: Pilot[str | None], key: str) -> None:
    assert isinstance(pilot.app, Dashboard)
    while pilot.app._reader.share_read < 1:  # a slow machine reads the logs in several pieces
        await pilot.pause(0.02)
    await pilot.press(key)
    for _ in range(4):
        await pilot.pause()


async def test_the_strategy_that_trains_comes_first_then_the_others(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(160, 45)) as pilot:
        await shown(pilot, "v")
        seen = []
        for _ in app.state.trials:
            assert isinstance(app.screen, StrategyScreen)
            seen.append(app.screen.trial)
            assert app.screen.query_one(LogView).virtual_size.height >= 1
            await shown(pilot, "v")
        assert seen[0] == app.state.active
        assert sorted(seen) == sorted(app.state.trials)
        assert len(app.screen_stack) == 2
        await shown(pilot, "escape")
        assert len(app.screen_stack) == 1


async def test_plots_draw_what_was_measured(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(160, 45)) as pilot:
        await shown(pilot, "v")
        charts = {chart.parent.id: chart for chart in app.screen.query(Chart)}
        assert set(charts) == {"scores", "loss", "learning", "drift", "share", "held"}
        assert all(chart.display and chart.drawn for chart in charts.values())
        said = str(app.screen.query_one("#text", Static).content)
        for word in ("samples/s", "in the encoder", "pseudo-loss", "parameters", "NVML, process"):
            assert word in said


@pytest.mark.parametrize("key", ["v", "y", "j"])
async def test_every_size_shows_the_screen_whole(key: str, run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=SIZES[0]) as pilot:
        await shown(pilot, key)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            for _ in range(4):
                await pilot.pause()
            for widget in app.screen.query(".panel, #header, Footer"):
                if widget.display and widget.region.area:
                    assert app.screen.region.contains_region(widget.region), (key, width, height, widget)


@pytest.mark.parametrize("state", list(STATES))
async def test_every_state_has_something_to_say(state: str, run: Callable[[str], Dashboard]) -> None:
    app = run(state)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, "y")
        assert isinstance(app.screen, SystemScreen)
        assert "GPU" in str(app.screen.query_one("#text", Static).content)
        await shown(pilot, "j")
        assert isinstance(app.screen, EventsScreen)
        assert len(app.screen_stack) == 2
        await shown(pilot, "escape")
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize("key", ["y", "v", "j"])
async def test_q_quits_wherever_the_footer_says_so(key: str, run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, key)
        await shown(pilot, "q")
        assert isinstance(app.screen, LeaveScreen)
        await pilot.press("d")
    assert app.return_value == "detach"


async def test_keys_of_the_race_are_not_offered_elsewhere(run: Callable[[str], Dashboard]) -> None:
    app = run("mid")
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot, "y")
        offered = {b.binding.description for b in app.screen.active_bindings.values() if b.binding.show}
        assert offered >= {"back", "pause", "strategy", "quit"}
        assert not offered & {"axis", "target", "maximise"}


@pytest.mark.parametrize("width", [54, 74, 150])
async def test_facts_of_the_machine_fit_their_panel(width: int, run: Callable[[str], Dashboard]) -> None:
    app = run("eight")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        rows = machine_text(app.scene, width).plain.split("\n")
    assert max(map(len, rows)) <= width
    bars = [row for row in rows if row.startswith(("busy", "memory ", "CPU", "RAM"))]
    assert len(bars) >= 3
    assert len({row.index("%") for row in bars if "%" in row}) == 1


FACTS = {"cpu_model": "AMD EPYC 9554", "physical_cores": 64, "logical_cores": 128}


@pytest.mark.parametrize(
    ("state", "facts", "lines"),
    [
        ("cpu", {}, ["AMD EPYC 9554", "torch 2.9.0, 8 threads a worker, bf16"]),
        ("mid", {}, ["torch 2.9.0, 8 threads a worker, bf16"]),
        (
            "mid",
            FACTS,
            ["AMD EPYC 9554, 64 cores, 128 hardware threads", "torch 2.9.0, 8 threads a worker, bf16"],
        ),
        ("setup", FACTS, ["AMD EPYC 9554, 64 cores, 128 hardware threads"]),
    ],
)
def test_the_machine_is_named_with_what_computes_on_it(
    state: str, facts: dict[str, object], lines: list[str], tmp_path: Path
) -> None:
    scene = Scene.of(read_run(build(state, tmp_path / "run")), dark=True)
    host = machine_text(scene, 80, facts).plain.split("\n\n")[1].split("\n")
    assert host[0] == "host"
    assert host[1 : host.index(next(row for row in host if row.startswith("CPU ")))] == lines


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("NVML Shared Library Not Found", "none is watched: no NVIDIA driver is installed here"),
        ("RM has detected an NVML/RM version mismatch.", "the NVIDIA driver was updated"),
        ("no NVIDIA driver on this machine", "no NVIDIA driver on this machine"),
        ("", "no sample was taken yet"),
    ],
)
def test_messages_of_nvml_are_said_in_words(reason: str, words: str) -> None:
    text = machine_text(Scene.of(RunState(gpu_absent=reason), dark=True), 80).plain
    assert words in text
    assert "NVML" not in text
    _, sentence = SENTENCES[ev.GpuAbsent](ev.GpuAbsent(reason), None, RunState().metric)
    assert "NVML" not in sentence


def test_a_reading_that_a_gpu_lacks_is_named(tmp_path: Path) -> None:
    state = read_run(build("mid", tmp_path / "run"))
    (gpu,) = state.gpus.values()
    gpu.last = replace(gpu.last, power_w=None, reasons={"power_w": "Not Supported"})
    text = machine_text(Scene.of(state, dark=True), 80).plain
    assert "power: this GPU does not report it" in text


def test_the_plan_says_what_of_the_encoder_is_trained(tmp_path: Path) -> None:
    state = read_run(build("mid", tmp_path / "run"))
    trial = next(each for each in state.trials.values() if each.plan is not None)
    scene = Scene.of(state, dark=True)
    assert "trained" not in strategy_text(scene, trial).plain
    trial.plan = replace(trial.plan, adapt="freeze", trainable_parameters=21_360)
    rows = strategy_text(scene, trial).plain.split("plan\n")[1]
    assert "states" not in rows
    trial.states = ev.StatesCached(60, 600, 8, 3 << 20, "float16", True, seconds=1.5, built=True)
    rows = strategy_text(scene, trial).plain.split("plan\n")[1]
    found = [row.split(maxsplit=1) for row in rows.splitlines()]
    assert ["trained", "21,360 encoder (freeze)"] in found
    assert ["states", "3.00 MiB (device), 1.5 s"] in found


async def test_hostile_texts_reach_no_terminal(run: Callable[[str], Dashboard]) -> None:
    app = run("hostile")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        scene = app.scene
        said = machine_text(scene, 100).plain
        for trial in scene.state.trials.values():
            said += strategy_text(scene, trial).plain
        assert "\x1b" not in said
        assert all(character.isprintable() or character == "\n" for character in said)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_card_and_its_screen_say_what_disturbed_the_trial(
    size: tuple[int, int], tmp_path: Path
) -> None:
    folder = build("finished", tmp_path / "run")
    with (folder / "e2e.s0" / "events.jsonl").open("ab") as log:
        log.write(encode(ev.ProcessStopped(20.0, 18.5), Stamp(10_000, 10**15, "boot-0", "")))
    app = Dashboard(folder)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        cards = {card.trial_name: str(card.render()) for card in app.query(Card)}
        assert [name for name, text in cards.items() if "! stopped 20 s" in text] == ["e2e.s0"]
        told = str(strategy_text(app.scene, app.state.trials["e2e.s0"]))
        assert "its process was stopped for 20.0 s" in told
