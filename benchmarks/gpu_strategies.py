"""Section of `benchmarks.measure`: samples per second of e2e and gram-1s, by attention and layout."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gpu_lab import Lab, altered, cudnn_attention
from benchmarks.gpu_probe import Probe, per_second, turns
from benchmarks.targets import SINGLE_STEP
from grambench.training.memory_plan import plan_graphs


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared with what."""

    strategy: str
    predicted: str
    layout: str = "buckets"
    graphs: str = "off"
    cudnn: bool = False

    def __str__(self) -> str:
        more = (", graphs" if self.graphs == "on" else "", ", cuDNN attention" if self.cudnn else "")
        return "".join((f"{self.strategy}, {self.layout}", *more))


SIDES = (
    Side("e2e", "1,300 to 1,500"),
    Side("gram-1s", "1,700 to 2,200"),
    Side("e2e", "about 1.3 × buckets", layout="packed", graphs="on"),
    Side("gram-1s", "about 1.3 × buckets", layout="packed", graphs="on"),
    Side("e2e", "420", cudnn=True),
    Side("gram-1s", "500", cudnn=True),
)
E2E, SINGLE, CHOSEN_E2E, CHOSEN_SINGLE = SIDES[:4]
"""In buckets, and as the product chooses."""


def strategies(lab: Lab) -> None:
    """All sides in turns on batches that none has seen, after a step that is not timed."""
    planned = lab.trial("gram-1s")
    plan = plan_graphs(planned.system, planned.sampler.batch(0), lab.spec.training, lab.device)
    lab.result.facts["plan"] = f"e2e in micro-batches of {plan.micro_batch}; {plan.why}"
    del planned
    probes = {side: _probe(lab, side, plan.micro_batch, plan.encoder_chunk) for side in SIDES}
    sides = {str(side): _in_turn(side, probe) for side, probe in probes.items()}
    seconds = turns(sides, lab.sizes.rounds, lab.ends_s)
    for side, probe in probes.items():
        notes = [f"R {probe.reuse:.2f}", f"{seconds[str(E2E)].over(seconds[str(side)])}× e2e"]
        notes.append("; ".join(f"round {number}: {new}" for number, new in enumerate(probe.novelties, 1)))
        if not probe.finite:
            notes.append("THE LOSS IS NOT FINITE")
        lab.found(str(side), per_second(seconds[str(side)]), "samples/s", "; ".join(notes), side.predicted)
    reuse = probes[SINGLE].reuse
    times = seconds[str(CHOSEN_E2E)].over(seconds[str(CHOSEN_SINGLE)])
    buckets = seconds[str(E2E)].over(seconds[str(SINGLE)]).median / reuse
    note = f"{times}× e2e at R {reuse:.2f}, both packed with graphs; {buckets:.2f} in buckets without"
    lab.claim(SINGLE_STEP, times.median / reuse, note)


def _probe(lab: Lab, side: Side, micro_batch: int, chunk: int | None) -> Probe:
    """A trial of its own: cuDNN's backward pass has been seen to give NaN, which must stay on its side."""
    spec = altered(altered(lab.spec, "encoder", layout=side.layout), "engine", graphs=side.graphs)
    made = lab.trial(side.strategy, spec, micro_batch=micro_batch, encoder_chunk=chunk)
    with _attention(side):
        return Probe(made, lab.sizes.steps).warm_up()


def _in_turn(side: Side, probe: Probe) -> Callable[[], float]:
    def run() -> float:
        with _attention(side):
            return probe()

    return run


def _attention(side: Side) -> contextlib.AbstractContextManager[None]:
    """cuDNN's where the side has it; else what the product has chosen."""
    return cudnn_attention(True) if side.cudnn else contextlib.nullcontext()
