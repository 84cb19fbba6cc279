"""Two torchrun agents on one machine train a trial together, lose a rank, and one process finishes it."""

import signal
import socket

import psutil
from live_runs import Bench, strict_json, until

from grambench.events.journal import Follower
from grambench.events.types import GroupFormed, RankStarted, TrialResumed
from grambench.runner.agents import ranks_of

TRIAL = "gram-3s.s0"
_SETTINGS = ("training.epochs=400", "training.patience=400", "training.checkpoint_s=0.2")
_LONG = [word for setting in _SETTINGS for word in ("--set", setting)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_two_agents_lose_a_rank_and_another_number_of_ranks_goes_on(bench: Bench) -> None:
    run = bench.run(
        *("--strategies", "gram-3s", "--plain", *_LONG),
        *("--nproc", 1, "--nnodes", 2, "--endpoint", f"127.0.0.1:{free_port()}"),
    )
    joined = bench.start("join", run.run)
    log = run.run / TRIAL / "events.jsonl"

    def events(kind: type) -> list[object]:
        return [record.event for record in Follower(log).read() if isinstance(record.event, kind)]

    until(lambda: next((run.run / TRIAL).glob("checkpoints/step-*"), None), "a checkpoint")
    formed = events(GroupFormed)
    assert [(each.size, each.nodes, each.attempt) for each in formed] == [(2, 2, 0)]  # type: ignore[attr-defined]
    helper = events(RankStarted)[1]
    psutil.Process(helper.pid).kill()  # type: ignore[attr-defined]
    (resumed,) = until(lambda: events(TrialResumed), "the ranks to start again")
    assert resumed.step > 0  # type: ignore[attr-defined]
    run.interrupt()
    assert run.wait().code == 75
    assert joined.wait().code == 0, joined.err
    assert until(lambda: not list(ranks_of(run.run, TRIAL)), "the ranks to end")

    alone = bench.start("run", "--resume", run.run, "--nproc", 1, "--nnodes", 1, "--plain")
    until(lambda: len(events(TrialResumed)) == 2, "one process to go on")
    first, second = events(TrialResumed)
    assert second.step >= first.step > 0  # type: ignore[attr-defined]
    alone.process.send_signal(signal.SIGINT)
    assert alone.wait().code == 75
    report = strict_json(bench.call("report", run.run, "--format", "json").out)
    assert report["trials"][0]["steps"] >= second.step  # type: ignore[attr-defined]
