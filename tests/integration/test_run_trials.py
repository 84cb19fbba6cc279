"""A whole run of two trials of one strategy with different rates: events, report, no other resume."""

import pytest
from live_runs import Bench, Command, Ended, strict_json

from grambench.events import types as ev
from grambench.events.journal import Follower

pytestmark = pytest.mark.slow

RATES = {"slow": 1e-4, "fast": 3e-3}
TRIALS = tuple(
    word
    for label, rate in RATES.items()
    for word in ("--trial", f"{label}: gram-1e, encoder_optimizer.lr={rate}")
)
CONSTANT = ("--set", 'encoder_optimizer.schedule="constant"')


@pytest.fixture(scope="module")
def run(bench: Bench) -> tuple[Command, Ended]:
    command = bench.run(*TRIALS, *CONSTANT, "--json")
    ended = command.wait()
    assert ended.code == 0, ended.err
    return command, ended


def test_the_report_shows_both(run: tuple[Command, Ended]) -> None:
    report = strict_json(run[1].out)
    assert [(t["name"], t["strategy"], t["label"], t["settings"]) for t in report["trials"]] == [
        (f"{label}.s0", "gram-1e", label, {"encoder_optimizer.lr": rate}) for label, rate in RATES.items()
    ]
    slow, fast = (trial["curves"]["loss"] for trial in report["trials"])
    assert slow[0][1] == fast[0][1]  # the first epoch ends before the encoder's first step
    assert slow[-1][1] != fast[-1][1]


def test_each_worker_trains_at_its_own_rate(run: tuple[Command, Ended]) -> None:
    for label, rate in RATES.items():
        events = [r.event for r in Follower(run[0].run / f"{label}.s0" / "events.jsonl").read()]
        (plan,) = (event for event in events if isinstance(event, ev.TrialPlanned))
        assert (plan.label, plan.strategy, plan.settings) == (
            label,
            "gram-1e",
            {"encoder_optimizer.lr": rate},
        )
        rates = {event.encoder_lr for event in events if isinstance(event, ev.Progress)}
        assert max(rates) == pytest.approx(rate)


def test_another_rate_cannot_resume_it(bench: Bench, run: tuple[Command, Ended]) -> None:
    folder = run[0].run
    other = (*TRIALS[:3], "fast: gram-1e, encoder_optimizer.lr=4e-3")
    asked = ("run", "--resume", folder.name, "--out", folder.parent, "--preset", bench.preset, *CONSTANT)
    refused = bench.call(*asked, *other)
    assert refused.code == 2
    assert "trials.fast.settings.encoder_optimizer.lr: 0.003, now 0.004" in refused.err
