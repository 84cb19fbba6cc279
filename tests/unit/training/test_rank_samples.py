"""What a rank counts of itself: messages of training alone, and the items that it alone would encode."""

from collections.abc import Sequence

import numpy as np
import pytest
import tiny_systems as tiny
import torch

from grambench.events import types as ev
from grambench.events.types import Event
from grambench.training.group import Group
from grambench.training.protocols import StepResult
from grambench.training.tally import Tally


class Both(Group):
    """Two ranks that do the same, without messages."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 2

    def greatest(self, *words: int) -> tuple[int, ...]:
        return words

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        return [list(numbers)] * 2


@pytest.mark.parametrize("domain", tiny.DOMAINS)
def test_a_sample_has_the_items_of_the_own_part_and_of_the_whole_batch(domain: str) -> None:
    system, emitted = tiny.tiny_system(domain=domain).system, list[Event]()
    system.group = Both()
    tally = Tally(system, emitted.append, lambda: (None, None, None))
    whole = tiny.sampler_of(domain, batch_size=6).batch(0)
    part = whole.part(1, 2)
    assert (part.rows, part.users) == (3, 6)
    for _ in range(9):
        tally.count(StepResult(torch.zeros(()), 6, 9, 4), part)
    for _ in range(2):
        tally.report(part)
    samples = [event for event in emitted if isinstance(event, ev.RankSample)]
    assert [sample.rank for sample in samples] == [0, 1], "with the first report, then by the clock"
    own_N, all_N = (each.occurrences().host_items_N for each in (part, whole))
    found = samples[1]
    assert found.part_occurrences == 2 * len(own_N), "of nine steps the first and the ninth"
    assert found.part_items == 2 * len(np.unique(own_N))
    assert found.batch_items == 2 * len(np.unique(all_N))
    assert found.batch_items > found.part_items


def test_messages_count_only_while_the_trial_trains() -> None:
    system = tiny.tiny_system().system
    group = system.group
    with group.message(100):
        pass
    assert group.received_bytes == 100, "without a trial all do"
    Tally(system, lambda _: None, lambda: (None, None, None))
    with group.message(100):
        pass
    system.clock.start()
    with group.message(7):
        pass
    system.clock.stop()
    waited_s = group.waited_s
    with group.message(100):
        pass
    assert (group.received_bytes, group.waited_s) == (107, waited_s)
