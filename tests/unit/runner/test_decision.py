"""`--until-decided`: a run ends when the finished seeds have decided it, and stays ended."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from grambench.analysis.looks import looks, seed_differences
from grambench.cli.settings import Options
from grambench.config.trial_name import TrialName
from grambench.errors import ExitCode
from grambench.events import types as ev
from grambench.events.journal import Journal
from grambench.events.reader import read_run
from grambench.events.state import RunState, TrialState
from grambench.reports.build import build_report
from grambench.runner import supervisor as module
from grambench.runner.rundir import create_run
from grambench.runner.schedule import Seat
from grambench.runner.supervisor import Supervisor
from grambench.views.comparison_table import ordered

Score = Callable[[TrialName], float | None]
NOISE = (0.001, -0.001, 0.0005, -0.0005, 0.0, 0.0008, -0.0008, 0.0002, 0.001, -0.001)


def evaluated(part: str, auc: float) -> ev.Evaluated:
    return ev.Evaluated(part, 1, 3, 1.0, {"auc": auc}, 60, 0, False, 0.1, True)  # type: ignore[arg-type]


def trial(name: str, auc: float | None, strategy: str = "", outcome: ev.Outcome = "completed") -> TrialState:
    parsed = TrialName.parse(name)
    assert parsed is not None
    test = None if auc is None else evaluated("test", auc)
    return TrialState(name, strategy or parsed.label, parsed.seed, parsed.repeat, outcome=outcome, test=test)


def state(*trials: TrialState) -> RunState:
    return RunState(trials={each.name: each for each in trials})


def test_a_difference_is_within_a_seed_and_a_repeat() -> None:
    found = state(
        *(trial("e2e.s0", 0.5), trial("gram-1e.s0", 0.6)),
        *(trial("e2e.s0.r2", 0.1), trial("gram-1e.s0.r2", 0.4)),
        *(trial("e2e.s1", 0.5), trial("gram-1e.s1", 0.7, outcome="failed")),
        *(trial("e2e.s2", None, outcome="diverged"), trial("gram-1e.s2", 0.7)),
        *(trial("e2e.s3", 0.5), trial("gram-1e.s3.r2", 0.7)),
    )
    assert seed_differences(found, "gram-1e") == {0: pytest.approx(0.2)}


def test_the_reference_is_the_first_label_of_e2e_in_every_order() -> None:
    """Turned round, the second seed begins with another label of e2e."""
    aucs = {"slow.s0": 0.5, "null-slow.s0": 0.5, "fast.s0": 0.55, "gram-1e.s0": 0.65}
    aucs |= {"gram-1e.s1": 0.7, "fast.s1": 0.6, "slow.s1": 0.6}
    strategies = {"slow": "e2e", "fast": "e2e", "null-slow": "null-e2e"}
    found = state(*(trial(n, auc, strategies.get(n.split(".")[0], "")) for n, auc in aucs.items()))
    assert [one.label for one in looks(found, (0, 1), 8, 0.002)] == ["fast", "gram-1e"]
    assert seed_differences(found, "fast") == {0: pytest.approx(0.05), 1: 0.0}
    assert seed_differences(found, "gram-1e") == {0: pytest.approx(0.15), 1: pytest.approx(0.1)}


class Bench:
    """Supervisors of one run whose workers are over at once, with scores of our choosing."""

    def __init__(self, folder: Path, score: Score) -> None:
        self.folder, self.score, self.spawned = folder, score, []

    def run(self) -> ExitCode:
        supervisor = Supervisor(self.folder)
        supervisor._catch_signals = lambda: None  # type: ignore[method-assign]
        supervisor._set_up = lambda: self._set_up(supervisor)  # type: ignore[method-assign]
        supervisor._spawn = lambda name, _: self._spawn(supervisor, name)  # type: ignore[method-assign]
        return supervisor.run()

    @property
    def state(self) -> RunState:
        return read_run(self.folder)

    def _set_up(self, supervisor: Supervisor) -> int:
        audit = ev.AuditFinished(True, 1e-10, 1, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.1)
        self._log(
            "setup", ev.DataPrepared("x", "f" * 64, {}, 0.1, True), audit, ev.TrialFinished("completed")
        )
        return ExitCode.OK

    def _spawn(self, supervisor: Supervisor, name: str) -> None:
        parsed = TrialName.parse(name)
        assert parsed is not None
        auc = self.score(parsed)
        self.spawned.append(name)
        ends: list[ev.Event] = [ev.TrialFinished("diverged", "a loss was not finite", 8)]
        if auc is not None:
            ends = [evaluated("validation", auc), evaluated("test", auc), ev.TrialFinished("completed")]
        self._log(name, ev.PhaseEntered("train"), *ends)
        hears, tells = os.pipe()
        os.close(tells)
        worker = SimpleNamespace(
            pid=1,
            read_fd=hears,
            messages=list,
            grant=lambda *_: None,
            wait=lambda _: 0,
            terminate=lambda: None,
            log_tail=str,
            close=lambda: os.close(hears),
        )
        supervisor._running[name] = module._Running(worker, Seat(name), heard_s=1e12)  # type: ignore[arg-type]
        supervisor._selector.register(hears, module.selectors.EVENT_READ)
        supervisor._emit(ev.WorkerSpawned(name, 1))

    def _log(self, source: str, *events: ev.Event) -> None:
        (self.folder / source).mkdir(exist_ok=True)
        with Journal(self.folder / source / "events.jsonl") as journal:
            for event in events:
                journal.append(event)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setenv("GRAMBENCH_WORKER_START", "spawn")

    def make(score: Score, most: int = 10, **options: str) -> Bench:
        chosen = Options(strategies="e2e,gram-1s,gram-1e", until_decided=most, **options)
        return Bench(create_run(chosen.resolve("demo"), "demo", tmp_path, []), score)

    return make


def close_ones(name: TrialName) -> float:
    """gram-1s equals e2e; gram-1e comes as near as the noise lets it."""
    return 0.6 + NOISE[name.seed] * (name.label == "gram-1e")


def test_a_decided_run_leaves_its_last_seeds_out_and_is_whole(bench: Callable[..., Bench]) -> None:
    made = bench(close_ones)
    assert made.run() == ExitCode.OK
    looked = made.state.looks
    assert [(look.seeds, look.most, look.decided) for look in looked] == [(6, 10, True)]
    assert {row["label"]: row["verdict"] for row in looked[0].rows} == dict.fromkeys(
        ("gram-1s", "gram-1e"), "as good"
    )
    assert -0.002 < looked[0].rows[1]["low"] < looked[0].rows[1]["difference"] < looked[0].rows[1]["high"]
    assert len(made.spawned) == 6 * 3
    left = [each for each in made.state.trials.values() if each.seed >= 6]
    assert {(each.outcome, each.reason) for each in left} == {("skipped", "decided after 6 seeds")}
    assert "seed 6 of at most 10: gram-1s as good, gram-1e as good; decided" in made.state.log[-2].text
    assert len(ordered(made.state)) == 18
    report = build_report(made.folder)
    assert (report.partial, report.missing) == (False, [])
    assert [row.seeds for row in report.seeds] == [[0, 1, 2, 3, 4, 5]] * 3


def test_a_resumed_run_that_was_decided_does_not_go_on(bench: Callable[..., Bench]) -> None:
    """It was killed between the look and its consequence."""
    made = bench(close_ones)
    with pytest.MonkeyPatch.context() as patch:
        leave_out = Supervisor._leave_out

        def killed(self: Supervisor, pending: list[str]) -> None:
            if self._decision.decided_after is not None:
                raise KeyboardInterrupt
            leave_out(self, pending)

        patch.setattr(Supervisor, "_leave_out", killed)
        with pytest.raises(KeyboardInterrupt):
            made.run()
    assert made.state.looks[-1].decided
    assert all(each.outcome is None for each in made.state.trials.values() if each.seed >= 6)
    assert made.run() == ExitCode.OK
    assert made.run() == ExitCode.OK
    assert len(made.spawned) == 6 * 3
    assert len(made.state.looks) == 1
    assert not build_report(made.folder).partial


def test_a_seed_without_a_pair_decides_nothing(bench: Callable[..., Bench]) -> None:
    def score(name: TrialName) -> float | None:
        return None if str(name) == "gram-1s.s2" else close_ones(name)

    made = bench(score)
    assert made.run() == ExitCode.PARTIAL  # a trial has diverged; what is decided is not held against it
    first, second = made.state.looks
    assert [(row["label"], row["seeds"], row["verdict"]) for row in first.rows] == [
        ("gram-1s", 5, "undecided"),
        ("gram-1e", 6, "as good"),
    ]
    assert (first.decided, second.decided, second.seeds) == (False, True, 7)


def test_one_comparison_may_decide_alone_and_nobody_needs_to(bench: Callable[..., Bench]) -> None:
    def score(name: TrialName) -> float:
        return 0.6 + (name.label == "gram-1e") * (-1) ** name.seed * 0.1

    made = bench(score, decide="gram-1s")
    assert made.run() == ExitCode.OK
    assert [look.seeds for look in made.state.looks] == [6]
    assert made.state.looks[0].rows[1]["verdict"] == "undecided"


def test_without_a_decision_every_seed_runs(bench: Callable[..., Bench]) -> None:
    made = bench(lambda name: 0.6 + (name.label == "gram-1e") * (-1) ** name.seed * 0.1, most=7)
    assert made.run() == ExitCode.OK
    assert [(look.seeds, look.decided) for look in made.state.looks] == [(6, False), (7, False)]
    assert len(made.spawned) == 7 * 3
