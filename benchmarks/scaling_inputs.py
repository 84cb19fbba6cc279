"""The cost model's inputs: measured ones from `benchmarks/results/*.json`, and assumed ones."""

import functools
import json
import statistics
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, short
from benchmarks.scaling_law import Counted, Law
from benchmarks.scaling_model import UNDER, Costs, Task, Wires

MIND_TOKENS = 13.57
"""Mean tokens of a title of the generated news (`results/measure.json`)."""
TOEIC_TOKENS = 148.06
"""Of the generated exercises (`results/toeic_cuda.json`)."""
_OPENED = 50_596
"""Items that the window of the measured epoch encoded."""
CPU_EPOCH = "2 layers, 128 wide", 47_188, 184_333
"""Encoder, items and samples of the epoch in `results/epoch.json`."""


@dataclass(frozen=True, slots=True)
class Input:
    """A number of the model and where it is from."""

    what: str
    value: float
    unit: str
    source: str

    def cells(self) -> dict[str, str]:
        """A line of the page's table."""
        return {"input": self.what, "value": f"{short(self.value)} {self.unit}", "from": self.source}


@functools.cache
def document(name: str) -> dict[str, Any]:
    """A result file."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def median(name: str, sample: str) -> float:
    """Of a result file's raw values."""
    values: list[float] = document(name)["samples"][sample]
    return statistics.median(values)


@functools.cache
def law_of(name: str) -> Law:
    """The best law of a data set."""
    return counted(name).law()


def counted(name: str) -> Counted:
    """Distinct items of a data set's batches, as `--measure law` has counted them."""
    found = document("scaling_law")
    facts, samples = found["facts"][name], found["samples"]
    users, distinct = samples[f"{name}: users"], samples[f"{name}: distinct items"]
    return Counted(
        facts["items"],
        facts["samples"],
        facts["items a sample"],
        {int(size): found for size, found in zip(users, distinct, strict=True)},
    )


def h200_costs() -> Costs:
    """MIND's titles, 6 layers of 768, bf16, packed rows."""
    users, data = 256, counted("generated")
    step_s = {
        name: users / median("measure", f"strategies: {name}, packed, graphs, samples/s")
        for name in ("e2e", "gram-1s")
    }
    tokens = {
        "e2e": users * data.occurrences * MIND_TOKENS,
        "gram-1s": data.distinct[users] * MIND_TOKENS,
    }
    token_s = (step_s["e2e"] - step_s["gram-1s"]) / (tokens["e2e"] - tokens["gram-1s"])
    captured_s = median("measure", "epoch: CF step, graph, ms") / 1e3
    sizes = (64, 256, 1024)
    fits_s = [
        median("measure", f"epoch: closing, packed, graphs, {items} items, ms a step") / 1e3
        for items in sizes
    ]
    slope, start = np.polyfit([items * MIND_TOKENS for items in sizes], fits_s, 1)
    return Costs(
        token_s=token_s,
        forward_token_s=median("measure", f"epoch: opening: {_OPENED:,} items without a graph, s")
        / (_OPENED * MIND_TOKENS),
        fit_token_s=float(slope),
        fit_s=float(start),
        call_s=median("measure", "epoch: closing, packed, 64 items, ms a step") / 1e3,
        filter_s=median("measure", "epoch: CF step, plain, ms") / 1e3,
        filter_user_s=captured_s / users,
        rest_s=step_s["e2e"] - tokens["e2e"] * token_s - captured_s,
        deal_row_s=median("scaling_ranks", "plan, 64 ranks: by tokens, s an item"),
        plan_row_s=median("scaling_ranks", "plan, 64 ranks: by id, s an item"),
    )


def toeic_costs() -> Costs:
    """Exercises of 148 tokens and an LSTM, on the same GPU; what was not measured there is MIND's."""
    label, mind = "6 layers, 768 wide", h200_costs()
    cf_s = median("toeic_cuda", f"{label}: CF alone, a step, s")
    token_s = (
        median("toeic_cuda", f"{label}: {part}, s") / TOEIC_TOKENS
        for part in ("the same, 1,600 at once as in E2E", "encoder without a graph, an item")
    )
    forward_and_backward_s, forward_s = token_s
    return Costs(
        token_s=forward_and_backward_s,
        forward_token_s=forward_s,
        fit_token_s=forward_and_backward_s,
        fit_s=mind.fit_s,
        call_s=mind.call_s,
        filter_s=cf_s,
        filter_user_s=0.0,
        rest_s=0.0,
        deal_row_s=mind.deal_row_s,
        plan_row_s=mind.plan_row_s,
    )


def cpu_costs() -> Costs:
    """Two CPU cores, 2 layers of 128; nothing is launched there."""
    label, items, samples = CPU_EPOCH
    forward_s, both_s = (
        median("epoch", f"{label}: encoder {how}, {items:,} items, s") / (items * MIND_TOKENS)
        for how in ("without a graph", "forward and backward")
    )
    filter_s = median("epoch", f"{label}: CF only, the same epoch, s") / samples
    return Costs(both_s, forward_s, both_s, 0.0, 0.0, 0.0, filter_s, 0.0)


ONE_CARD_A_GPU = Wires(
    "8 GPUs a machine, NVLink, a 400 Gb/s card for each GPU",
    node=8,
    within=300e9,
    between=40e9,
    hop_s=8e-6,
    peer_s=1.5e-6,
    memory_bytes=141e9,
    memory_rate=3.03e12,
)
ONE_CARD_A_MACHINE = Wires(
    "8 GPUs a machine, NVLink, ONE 400 Gb/s card for all of them", 8, 300e9, 5e9, 8e-6, 1.5e-6, 141e9, 3.03e12
)

_ENCODER, _NRMS, _LSTM = 65_963_520, 1_926_544, 10_067_056
"""Parameters of the networks of `results/measure.json` and `results/toeic_cuda.json`, 768 wide."""


def tasks() -> dict[str, Task]:
    """By their short names."""
    generated, sample, mind, toeic = counted("generated"), counted("mind-sample"), h200_costs(), toeic_costs()
    return {
        "mind-small": Task(
            "MIND-small's size, generated",
            law_of("generated"),
            generated.samples,
            generated.occurrences,
            MIND_TOKENS,
            _ENCODER,
            _NRMS,
            mind,
            users=256,
        ),
        "mind-large": Task(
            "MIND-large (A: the law of MIND-small's sample)",
            replace(law_of("mind-sample"), items=101_527),
            3_380_000,
            sample.occurrences,
            MIND_TOKENS,
            _ENCODER,
            _NRMS,
            mind,
            users=256,
        ),
        "toeic": Task(
            "TOEIC (A: its law)",
            TOEIC_LAW,
            942_649,
            100.0,
            TOEIC_TOKENS,
            _ENCODER,
            _LSTM,
            toeic,
            users=32,
            captured=False,
        ),
        "10^8": Task(
            "10^8 items of 32 tokens, 10^10 samples (A: all of it)",
            Law(100_000_000, 1.0, 1000.0),
            10_000_000_000,
            55.0,
            32.0,
            _ENCODER,
            _NRMS,
            mind,
            users=1024,
        ),
    }


TOEIC_LAW = Law(9_336, 1.5, 5.0)
"""Set so that R of 32 users is 5.6, the paper's speed-up of single-step on TOEIC."""


def inputs() -> list[Input]:
    """All of them, for the page."""
    return [*_measured(), *_assumed()]


def _measured() -> list[Input]:
    mind, toeic, cpu = h200_costs(), toeic_costs(), cpu_costs()
    rows = (
        ("encoder within a step, forward and backward", 1 / mind.token_s, "tokens/s", "measure",
         "difference of the steps of e2e and gram-1s (packed, graphs) over that of their tokens"),
        ("encoder without a graph", 1 / mind.forward_token_s, "tokens/s", "measure", "opening"),
        ("encoder in mini-batches, as a graph", 1 / mind.fit_token_s, "tokens/s", "measure",
         "closing: slope over mini-batches of 64, 256 and 1,024 items"),
        ("an encoder step beside its tokens, as a graph", 1e3 * mind.fit_s, "ms", "measure",
         "closing: intercept of that line"),
        ("launch floor: the shortest encoder step without a graph", 1e3 * mind.call_s, "ms", "measure",
         "closing, packed, 64 items"),
        ("filter step of 256 users, launched by the host", 1e3 * mind.filter_s, "ms", "measure",
         "CF step, plain; no shorter with fewer users (A)"),
        ("filter step of 256 users, as a graph", 256e3 * mind.filter_user_s, "ms", "measure",
         "CF step, graph; in proportion to the users (A)"),
        ("a step of e2e or gram-1s beside encoder and filter", 1e3 * mind.rest_s, "ms", "measure",
         "the rest of those steps"),
        ("plan of gram-1s, for each item that a rank reads", 1e9 * mind.deal_row_s, "ns", "scaling_ranks",
         "64 ranks of 256 users; in proportion to the items of all ranks (A), on a GPU's host as here (A)"),
        ("plan of gram-1e, the same", 1e9 * mind.plan_row_s, "ns", "scaling_ranks", ""),
        ("TOEIC: encoder, forward and backward", 1 / toeic.token_s, "tokens/s", "toeic_cuda",
         "1,600 at once"),
        ("TOEIC: encoder without a graph", 1 / toeic.forward_token_s, "tokens/s", "toeic_cuda", ""),
        ("TOEIC: filter step of 32 users", 1e3 * toeic.filter_s, "ms", "toeic_cuda",
         "no shorter with fewer users (A)"),
        ("two CPU cores: encoder, forward and backward", 1 / cpu.token_s, "tokens/s", "epoch", CPU_EPOCH[0]),
        ("two CPU cores: encoder without a graph", 1 / cpu.forward_token_s, "tokens/s", "epoch",
         CPU_EPOCH[0]),
        ("two CPU cores: filter step of 256 users", 256e3 * cpu.filter_user_s, "ms", "epoch", CPU_EPOCH[0]),
    )  # fmt: skip
    sizes = {"encoder": _ENCODER, "NRMS": _NRMS, "LSTM": _LSTM}
    return [
        Input(f"parameters, {name}", size / 1e6, "million", "counted") for name, size in sizes.items()
    ] + [
        Input(what, value, unit, _source(name) + (f": {how}" if how else ""))
        for what, value, unit, name, how in rows
    ]


def _source(name: str) -> str:
    found = document(name)
    device = "H200" if "H200" in found["device"] else f"{found['machine']['cpu']}, two cores"
    return f"`results/{name}.json` ({device}, {found['date']})"


def _assumed() -> list[Input]:
    wires = ONE_CARD_A_GPU
    return [
        Input("NVLink, reached by a GPU in one direction", wires.within / 1e9, "GB/s", "A"),
        Input("a 400 Gb/s card, reached", wires.between / 1e9, "GB/s", "A"),
        Input("latency of a hop", wires.hop_s * 1e6, "µs", "A"),
        Input("latency of each further peer of an all-to-all", wires.peer_s * 1e6, "µs", "A"),
        Input(
            "memory of a GPU, read and written",
            wires.memory_rate / 1e12,
            "TB/s",
            "A: as a copy on an H100 (`results/gpu.json`); a step touches each of its rows 6 times",
        ),
        Input(
            "hidden by a sum under the backward pass",
            100 * UNDER,
            "% of the encoder",
            "A; `graphs and overlap` only",
        ),
        Input(
            "R of 32 users, TOEIC", tasks()["toeic"].reuse(32), "", "A: the paper's speed-up of single-step"
        ),
    ]
