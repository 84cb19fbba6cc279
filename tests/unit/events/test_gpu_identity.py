from typing import Any

import pytest

from grambench.events import types as ev
from grambench.events.codec import Record, Stamp
from grambench.events.fold import Fold
from grambench.events.gpu_identity import used_gpu
from grambench.events.state import GpuState, RunState
from grambench.events.types import GpuSample
from grambench.runner.race_memory import race_needs

PLAIN, DIVIDED = "GPU-0a1b2c3d-0000-0000-0000-000000000001", "GPU-99999999-0000-0000-0000-000000000002"
ONE, TWO = "MIG-11111111-aaaa-bbbb-cccc-000000000001", "MIG-22222222-aaaa-bbbb-cccc-000000000002"
OLD = f"MIG-{DIVIDED}/8/0"
GIB = 1 << 30


def gpus(*slices: str) -> dict[str, GpuState]:
    whole = [GpuSample(PLAIN, 0, "H200"), GpuSample(DIVIDED, 1, "H200", slices=len(slices))]
    parts = [
        GpuSample(uuid, 1, "MIG", parent_uuid=DIVIDED, instance=f"{7 + place}/0")
        for place, uuid in enumerate(slices)
    ]
    return {sample.uuid: GpuState(sample) for sample in (*whole, *parts)}


@pytest.mark.parametrize(
    ("named", "slices", "seen_on", "used"),
    [
        (PLAIN, (), (), PLAIN),
        ("GPU-0a1b2c3d", (), (), PLAIN),
        ("GPU-0A1B2C3D", (), (), PLAIN),
        (TWO, (ONE, TWO), (), TWO),
        ("MIG-2222", (ONE, TWO), (), TWO),
        (TWO.replace("MIG-", "GPU-"), (ONE, TWO), (), TWO),
        (OLD, (ONE, TWO), (), TWO),
        (OLD, (f"MIG-{DIVIDED}/7/0", OLD), (), OLD),
        ("MIG-GPU-99999999/7/0", (ONE, TWO), (), ONE),
        (DIVIDED, (ONE,), (), ONE),
        (DIVIDED, (ONE, TWO), (), None),
        (DIVIDED, (ONE, TWO), (TWO,), TWO),
        (DIVIDED, (), (), None),
        ("GPU-ffff", (ONE, TWO), (), None),
        ("GPU-", (), (), None),
    ],
)
def test_every_spelling_finds_its_gpu(
    named: str, slices: tuple[str, ...], seen_on: tuple[str, ...], used: str | None
) -> None:
    found = used_gpu(named, gpus(*slices), seen_on)
    assert (found.last.uuid if found else None) == used


def folded(named: str, *more: ev.Event) -> RunState:
    """A trial on a MIG slice, with samples of its GPU and of both slices."""
    part: dict[str, Any] = {"parent_uuid": DIVIDED, "memory_total_bytes": 18 * GIB}
    events: list[tuple[str, ev.Event]] = [
        ("", ev.RunStarted("r", "demo", ["e2e.s0", "gram-1s.s0"], 1)),
        ("e2e.s0", ev.WorkerStarted("e2e.s0", 7, "cuda:0", "MIG", named, {}, 1, "fp32")),
        ("", ev.TurnGranted("e2e.s0", 1)),
        *(("", event) for event in more),
    ]
    for _ in range(2):
        events += [
            ("", ev.GpuSample(DIVIDED, 0, "H200", 60 * GIB, 140 * GIB, power_w=500.0, slices=2)),
            ("", ev.GpuSample(ONE, 0, "MIG", 9 * GIB, **part)),
            ("", ev.GpuSample(TWO, 0, "MIG", 4 * GIB, **part)),
        ]
    fold = Fold()
    for number, (source, event) in enumerate(events):
        fold.apply(source, Record(Stamp(number, number * 10**8, "b", "w"), event))
    return fold.state


def seen(*uuids: str) -> ev.ProcessSample:
    return ev.ProcessSample("e2e.s0", 7, 1, 1.0, 10 * GIB, gpu_uuids=list(uuids))


@pytest.mark.parametrize("named", [TWO, DIVIDED])
def test_a_slices_memory_is_the_trials_and_the_gpus_power_nobodys(named: str) -> None:
    state = folded(named, seen(TWO))
    trial = state.trials["e2e.s0"]
    assert (trial.peak_device_used_bytes, trial.integrated_energy_j) == (4 * GIB, None)
    assert state.gpu_of(trial) is state.gpus[TWO]
    assert race_needs(state, ["e2e.s0"], ["gram-1s.s0"]) is None  # 12 GiB of the 14 that are free
    trial.peak_gpu_memory_bytes = 13 * GIB
    assert "14.0 GiB are free" in (race_needs(state, ["e2e.s0"], ["gram-1s.s0"]) or "")


def test_a_slice_that_is_not_known_gives_no_memory_of_another() -> None:
    state = folded(DIVIDED)
    assert state.trials["e2e.s0"].peak_device_used_bytes is None
    state.trials["e2e.s0"].peak_gpu_memory_bytes = 1000 * GIB
    assert race_needs(state, ["e2e.s0"], ["gram-1s.s0"]) is None
