"""The host waits for the device at marked points only: reads of values or of sizes that data decide."""

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from tiny_systems import (
    CPU,
    DOMAINS,
    HEADS,
    KINDS,
    QUERY,
    encoder_spec,
    news_sampler,
    random_part,
    sampler_of,
    tiny_data,
    tiny_system,
)
from torch.utils._python_dispatch import TorchDispatchMode

from grambench import transfer
from grambench.config.networks import Filter
from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.config.spec import Spec, Training
from grambench.training.strategies import make_strategy
from grambench.training.system import build_system

WAITING = ("_local_scalar_dense", "nonzero", "unique", "_unique", "masked_select", "equal")
READS = ("cpu", "numpy", "tolist", "item", "__bool__", "__int__", "__float__", "__index__")
"""On a CUDA tensor each of these copies to the host; on the CPU no operator shows it."""


class Waits(TorchDispatchMode):
    """Collects operators that would make the host wait for a CUDA device, outside marked points."""

    def __init__(self) -> None:
        super().__init__()
        self.unmarked: list[str] = []
        self.marked: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if by_mask or name.startswith(WAITING) or (name == "repeat_interleave" and not kwargs):
            self.saw(name)
        return function(*args, **(kwargs or {}))

    def saw(self, name: str) -> None:
        if transfer.is_marked():
            self.marked[name] += 1
        else:
            self.unmarked.append(name)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waits]:
    mode = Waits()
    for name in READS:
        honest = getattr(torch.Tensor, name)

        def spied(tensor, *args, _name=name, _honest=honest):
            mode.saw(_name)
            return _honest(tensor, *args)

        monkeypatch.setattr(torch.Tensor, name, spied)
    assign = torch.Tensor.__setitem__

    def assigned(tensor, key, value):
        """A number that is assigned to one entry, or at a tensor's indices, is copied from the host."""
        indexed = any(isinstance(one, torch.Tensor) for one in (key if isinstance(key, tuple) else (key,)))
        if isinstance(value, (bool, int, float)) and (indexed or tensor[key].dim() == 0):
            mode.saw("__setitem__")
        assign(tensor, key, value)

    monkeypatch.setattr(torch.Tensor, "__setitem__", assigned)
    with mode:
        yield mode


STRATEGIES = ["e2e", "e2e-unique", "e2e-cand", "gram-1s", "gram-3s", "gram-1e", "gram-auto"]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(
    ("name", "chunk"),
    [(name, None) for name in (*STRATEGIES, "nofinetune", "speedyfeed")]
    + [(name, 4) for name in ("e2e-cand", "gram-1s", "gram-3s", "gram-auto")],  # the others do not read it
)
def test_steps_wait_at_marked_points_only(name: str, chunk: int | None, domain: str, waits: Waits) -> None:
    tiny = tiny_system(domain=domain, dtype=torch.float32)
    sampler = sampler_of(domain)
    spec = Spec(multi_step=MultiStepSpec(encoder_batch=8), gram_auto={"floor": 3})
    strategy = make_strategy(
        name, tiny.system, sampler, spec=spec, micro_batch=4, encoder_chunk=chunk, seed=0
    )
    waits.unmarked.clear()
    for step in range(sampler.total_steps):
        strategy.step(sampler.batch(step))
    assert waits.unmarked == []
    assert waits.marked  # or the test would see nothing


@pytest.mark.parametrize("kind", KINDS)
def test_filters_wait_at_marked_points_only(kind: str, waits: Waits) -> None:
    tiny, sampler = tiny_system(domain=KINDS[kind], kind=kind), sampler_of(KINDS[kind])
    strategy = make_strategy(
        "e2e", tiny.system, sampler, spec=Spec(), micro_batch=4, encoder_chunk=None, seed=0
    )
    waits.unmarked.clear()
    for step in range(4):
        strategy.step(sampler.batch(step))
    assert waits.unmarked == []
    assert waits.marked


@pytest.mark.parametrize("name", ["nocontent", "crcf-1s", "crcf-1e", "nofinetune"])
def test_touched_rows_and_kept_states_wait_at_marked_points_only(name: str, waits: Waits) -> None:
    filter_spec, training = Filter(nrms={"heads": HEADS, "query": QUERY}), Training(free_rows="touched")
    spec = Spec(encoder=encoder_spec(), filter=filter_spec, training=training)
    system, _ = build_system(spec, tiny_data(), CPU, seed=0, strategy=name)
    sampler = news_sampler(random_part())
    strategy = make_strategy(name, system, sampler, spec=Spec(), micro_batch=4, encoder_chunk=None, seed=0)
    waits.unmarked.clear()
    for step in range(sampler.total_steps):
        strategy.step(sampler.batch(step))
    assert waits.unmarked == []
    assert waits.marked


def test_waits_are_asked_for_a_block_of_steps_together(waits: Waits) -> None:
    tiny, sampler = tiny_system(dtype=torch.float32), news_sampler(random_part())
    strategy = make_strategy(
        "gram-1s", tiny.system, sampler, spec=Spec(), micro_batch=4, encoder_chunk=None, seed=0
    )
    waits.marked.clear()
    steps = sampler.steps_per_epoch
    assert steps > 5
    for step in range(steps):
        strategy.step(sampler.batch(step))
    assert waits.marked.total() <= 8  # one block: not a wait a step


def test_wait_outside_a_marked_point_is_seen(waits: Waits) -> None:
    values = torch.arange(4)
    values[values > 1].sum()
    float(values[0])
    values[0] = 1
    values[values.flip(0)] = 2
    values[:2] = 3
    assert waits.unmarked.count("__setitem__") == 2
    with transfer.host_reads():
        values.unique()
    assert {"index", "__float__"} <= set(waits.unmarked)
    assert set(waits.marked) == {"_unique2"}
