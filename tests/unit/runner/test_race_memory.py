"""Whether a race fits into memory."""

import pytest

from grambench.events import types as ev
from grambench.events.state import GpuState, RunState, TrialState
from grambench.events.types import GpuSample
from grambench.runner import race_memory
from grambench.runner.race_memory import race_needs

GIB = 2**30


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    host = type("Host", (), {"available": 10 * GIB})()
    monkeypatch.setattr(race_memory.psutil, "virtual_memory", lambda: host)


def state(rss: float | None, gpu: float | None = None, used: float = 10.0) -> RunState:
    trials = {name: TrialState(name, name[0], int(name[3])) for name in ("a.s0", "b.s0", "c.s0", "a.s1")}
    trials["b.s0.r2"] = TrialState("b.s0.r2", "b", 0, 2)
    first = trials["a.s0"]
    first.peak_rss_bytes = None if rss is None else int(rss * GIB)
    first.peak_gpu_memory_bytes = None if gpu is None else int(gpu * GIB)
    first.started = ev.WorkerStarted("a.s0", 1, "cuda:0", "H", "GPU-1", {}, 1, "bf16")
    gpus = {
        "GPU-1": GpuState(
            GpuSample("GPU-1", 0, "H", memory_used_bytes=int(used * GIB), memory_total_bytes=80 * GIB)
        )
    }
    return RunState(trials=trials, gpus=gpus)


def needs(found: RunState) -> str | None:
    return race_needs(found, ["a.s0"], ["b.s0", "c.s0", "a.s1", "b.s0.r2"])


def test_two_more_that_fit_fit() -> None:
    assert needs(state(4.1)) is None
    assert needs(state(1.0, gpu=29.0)) is None


def test_what_does_not_fit_is_said_in_numbers() -> None:
    assert needs(state(4.2)) == (
        "a race of 2 more trials needs about 10.1 GiB on the host, but only 10.0 GiB are free"
    )
    assert "70.8 GiB on the GPU, but only 70.0 GiB are free" in needs(state(1.0, gpu=29.5))


def test_what_was_not_measured_stands_in_nobodys_way() -> None:
    assert needs(state(None)) is None
    assert needs(state(1.0, gpu=None)) is None
