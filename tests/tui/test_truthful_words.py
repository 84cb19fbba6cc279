"""What screens say of the schedule, a pause, missing GPUs and the place in a replay is so."""

from dataclasses import replace
from pathlib import Path

import pytest
from tui.logs import Recorder, build

from grambench.events import types as ev
from grambench.events.folding.sentences import SENTENCES
from grambench.events.reader import read_run
from grambench.events.state import RunState
from grambench.tui.detail_text import machine_text, strategy_text
from grambench.tui.layout import Density, plan
from grambench.tui.plots import metric_plot, rate_plot
from grambench.tui.scene import Scene
from grambench.views.axes import x_scale, x_ticks


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("race", "side by side, in short turns"),
        ("parallel", "each on a device of its own"),
        ("sequential", "one after the other"),
    ],
)
def test_the_setup_says_how_the_trials_will_run(schedule: str, words: str, tmp_path: Path) -> None:
    state = read_run(build("setup", tmp_path / "run"))
    state.schedule = schedule
    lines = metric_plot(Scene.of(state, dark=True), 100).empty.plain.split("\n")
    assert lines[-1] == f"· {len(state.trials)} trials, {words}"


def test_a_race_without_memory_is_no_race(tmp_path: Path) -> None:
    to = Recorder(tmp_path)
    to.write("", ev.RunStarted("run-1", "demo", ["e2e.s0", "gram-1s.s0"], 1, "", "", schedule="race"))
    assert read_run(tmp_path).schedule == "race"
    to.write("", ev.Warned("race-memory", "a race needs more; the trials run one after the other"))
    assert read_run(tmp_path).schedule == "sequential"


@pytest.mark.parametrize("reason", ["NVML Shared Library Not Found", "Driver Not Loaded"])
def test_the_log_says_in_words_why_no_gpu_is_watched(reason: str) -> None:
    sentence = SENTENCES[ev.GpuAbsent](ev.GpuAbsent(reason), None, RunState().metric)
    assert sentence is not None
    assert sentence[1].startswith("no GPU watched: ")
    assert "NVIDIA driver" in sentence[1]
    assert reason not in sentence[1]


def test_columns_of_gpus_are_shown_only_with_one(tmp_path: Path) -> None:
    for state, shown in (("mid", True), ("cpu", False)):
        scene = Scene.of(read_run(build(state, tmp_path / state)), dark=True)
        assert ("GPU GiB" in machine_text(scene, 100).plain) == shown


def test_clipping_is_shown_where_gradients_are_clipped(tmp_path: Path) -> None:
    scene = Scene.of(read_run(build("mid", tmp_path / "run")), dark=True)
    trial = next(trial for trial in scene.state.trials.values() if trial.progress is not None)
    assert "clipped" not in strategy_text(scene, trial).plain
    trial.progress = replace(trial.progress, filter_clipped=0.25, filter_gradient_norm=0.5)
    text = strategy_text(scene, trial).plain
    assert "25%, norm 5.00e-01" in text
    assert text.count("clipped") == 1


def test_a_trial_that_was_not_resumed_does_not_speak_of_it(tmp_path: Path) -> None:
    scene = Scene.of(read_run(build("mid", tmp_path / "run")), dark=True)
    trial = next(iter(scene.state.trials.values()))
    assert "resumed" not in strategy_text(scene, trial).plain
    trial.resumed_steps.append(120)
    assert "resumed at step     120" in strategy_text(scene, trial).plain


def test_rates_far_apart_are_on_a_logarithmic_axis(tmp_path: Path) -> None:
    state = read_run(build("mid", tmp_path / "run"))
    plot = rate_plot(Scene.of(state, dark=True), 60)
    assert (plot.picture.logarithmic_y, plot.title) == (True, "samples/s (log)")
    near = {name: trial for name, trial in state.trials.items() if trial.strategy != "gram-1e"}
    plot = rate_plot(Scene.of(replace(state, trials=near), dark=True), 60)
    assert (plot.picture.logarithmic_y, plot.title) == (False, None)


@pytest.mark.parametrize("high", [0.5, 5.0, 500.0, 50_000.0])
def test_an_axis_begins_with_a_bare_zero(high: float) -> None:
    for unit in ("s", "J", "steps"):
        assert x_ticks(x_scale([(high, 4)], [high], 60, False), unit, 5)[0] == (0.0, "0")


def test_four_strategies_that_have_ended_fit_80_columns() -> None:
    layout = plan(80, 24, 4, 3)
    assert (layout.density, layout.scrolls) == (Density.LINE, False)
    assert layout.metric >= 7
    assert plan(80, 24, 4, 1).metric == 9
