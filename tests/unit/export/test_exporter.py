"""What trackers get: every point once, however often a run is exported, interrupted and resumed."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from exported_runs import WrittenRun, export, planned, progress, recorded_race

from grambench.events import types as ev
from grambench.export.exporter import Exporter
from grambench.export.follow import follow
from grambench.export.points import Point
from grambench.export.tensorboard import _written


class Kept:
    """A tracker in memory, which outlives its exports."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.settings: dict[str, Mapping[str, str]] = {}
        self.outcomes: Mapping[str, str | None] = {}
        self.flushed = 0

    def open(self, stream: str, settings: Mapping[str, str]) -> dict[str, int]:
        self.settings[stream] = settings
        return {point.series: point.step for point in self.points if point.stream == stream}

    def write(self, point: Point) -> None:
        self.points.append(point)

    def flush(self) -> None:
        self.flushed += 1

    def close(self, outcomes: Mapping[str, str | None]) -> None:
        self.outcomes = outcomes

    def of(self, series: str, stream: str = "e2e.s0") -> list[tuple[int, float]]:
        found = (point for point in self.points if (point.stream, point.series) == (stream, series))
        return [(point.step, point.value) for point in found]


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    written = WrittenRun.of(tmp_path / "runs")
    written.start()
    written.log("e2e.s0", 1, planned())
    return written


def exported(run: WrittenRun, kept: Kept) -> Kept:
    follow(run.folder, Exporter(run.folder, kept), lambda _: True)
    return kept


def test_a_point_has_its_step_its_moment_and_a_finite_value(run: WrittenRun) -> None:
    run.train(2, 10)
    run.train(3, 20, loss=None)
    run.log(
        "e2e.s0",
        4,
        ev.Evaluated("validation", 1, 20, 2.0, {"ndcg@5": 0.25, "auc": None}, 9, 1, False, 1, True),
    )
    kept = exported(run, Kept())
    (loss,) = (point for point in kept.points if point.series == "train/loss")
    assert (loss.stream, loss.step, loss.value) == ("e2e.s0", 10, 0.5)
    assert loss.wall_s == 1795860002.0  # 2026-11-28 10:00:02 UTC
    assert kept.of("train/reuse_ratio") == [(10, 2.0), (20, 2.0)]
    assert kept.of("validation/ndcg_at_5") == [(20, 0.25)]
    assert not kept.of("validation/auc")
    assert kept.outcomes == {"run": None, "e2e.s0": None}


def test_readings_of_the_machine_stand_at_their_second_and_at_the_trials_step(run: WrittenRun) -> None:
    gpu = ev.GpuSample("GPU-1", 0, "H100", power_w=400.0, memory_used_bytes=5)
    worker = ev.WorkerStarted("e2e.s0", 1, "cuda:0", "H100", "GPU-1", {}, 1, "fp32")
    run.log("e2e.s0", 1, worker, ev.PhaseEntered("train"), progress(10))
    run.log("", 2, ev.TurnGranted("e2e.s0", 1), ev.ProcessSample("e2e.s0", 1, 7, gpu_memory_bytes=8))
    run.log("", 3, gpu, gpu)
    kept = exported(run, Kept())
    assert kept.of("gpu0/power_w", "run") == [(3, 400.0)]
    assert kept.of("gpu0/memory_used_bytes", "run") == [(3, 5)]
    assert kept.of("memory/gpu_process_bytes") == [(10, 8)]
    assert kept.of("memory/resident_bytes") == [(10, 7)]
    assert kept.of("gpu/power_w") == [(10, 400.0)]


def test_steps_that_a_resumed_trial_repeats_keep_their_first_values(run: WrittenRun) -> None:
    run.train(2, 10, 20, 30, loss=0.5)
    kept = exported(run, Kept())
    run.start(60)
    run.log("e2e.s0", 61, ev.TrialResumed(10, 1.0, 0))
    run.train(62, 20, 30, 40, loss=0.25)
    for _ in range(2):
        exported(run, kept)
    assert kept.of("train/loss") == [(10, 0.5), (20, 0.5), (30, 0.5), (40, 0.25)]
    assert kept.of("train/loss") == exported(run, Kept()).of("train/loss")


def test_the_reports_numbers_follow_each_end(run: WrittenRun) -> None:
    run.train(2, 10)
    kept = exported(run, Kept())
    assert not kept.of("final/steps")
    run.finish(3, 75)
    exported(run, kept)
    run.start(60)
    run.log("e2e.s0", 61, ev.TrialResumed(10, 1.0, 0))
    run.train(62, 20)
    exported(run, kept)
    run.log("e2e.s0", 63, ev.TrialFinished("completed"))
    run.finish(64)
    for _ in range(2):
        exported(run, kept)
    assert kept.of("final/steps") == [(1, 10), (2, 20)]
    assert kept.of("final/times.samples_per_s")[-1] == (2, 40.0)
    assert kept.outcomes == {"run": "completed", "e2e.s0": "completed"}


def test_settings_are_the_trials_and_nothing_of_the_environment(
    run: WrittenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    run.train(2, 10)
    settings = exported(run, Kept()).settings["e2e.s0"]
    assert settings["training.batch_size"] == "7"
    assert (settings["strategy"], settings["seed"], settings["run"]) == ("e2e", "0", run.folder.name)
    assert settings["filter_optimizer.schedule"] == "constant"
    assert "hunter2" not in str(settings)


def test_following_a_run_gives_what_exporting_it_afterwards_does(tmp_path: Path) -> None:
    race, live, after = recorded_race(tmp_path), Kept(), Kept()
    logs = {path: path.read_bytes().splitlines(keepends=True) for path in race.rglob("*.jsonl")}
    for path in logs:
        path.write_bytes(b"")
    looks = iter(range(1, 8))

    def ended(_: float) -> bool:
        """Another seventh of each log is written."""
        look = next(looks)
        for path, lines in logs.items():
            path.write_bytes(b"".join(lines[: len(lines) * look // 7]))
        return look == 7

    follow(race, Exporter(race, live), ended)
    follow(race, Exporter(race, after), lambda _: True)
    assert live.flushed == 7
    for trial in ("e2e.s0", "gram-1s.s0", "gram-1e.s0"):
        for series in ("train/loss", "validation/auc", "test/auc", "final/test.auc", "window/drift"):
            assert live.of(series, trial) == after.of(series, trial)
    assert len(after.of("train/loss", "e2e.s0")) > 20
    assert after.of("window/drift", "gram-1e.s0")
    assert after.of("final/gram-1e/cost.ratio", "run")


def test_tensorboard_files_hold_the_points_and_are_continued_where_they_were_cut(
    run: WrittenRun, tmp_path: Path
) -> None:
    run.train(2, 10, 20, 30)
    target, folder = f"tensorboard:{tmp_path}/out", tmp_path / "out" / run.folder.name / "e2e.s0"
    export(run.folder, target)
    (first,) = folder.iterdir()
    assert first.name.startswith("events.out.tfevents.")
    whole = [*_written(first)]
    assert whole[0] == ("settings", 0)
    first.write_bytes(first.read_bytes()[:-9])  # a machine that lost power
    for _ in range(2):
        export(run.folder, target)
    (second,) = {*folder.iterdir()} - {first}
    assert [*_written(first), *_written(second)] == whole
