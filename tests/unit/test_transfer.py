"""Marked waits: what lies around them, and the tests' use of CUDA's check, on a device that is made up."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_systems as tiny
import torch
from cuda_waits import marked_waits_only, sync_mode

from grambench import transfer
from grambench.data.batches import block
from grambench.domains.knowledge_tracing.evaluate import AnswerEvaluator
from grambench.domains.news.evaluate import RankingEvaluator
from grambench.training.strategies.single_step import SingleStep
from grambench.transfer import HOST, around_host_reads, host_reads, is_marked, read, stored

MODES = {"default": 0, "warn": 1, "error": 2}


class FakeCheck:
    """As much of CUDA's check for waits as torch shows; `wait` is what a waiting operator does."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.mode = 1
        patch.setattr(torch.cuda, "get_sync_debug_mode", lambda: self.mode)
        patch.setattr(torch.cuda, "set_sync_debug_mode", self.set_mode)

    def set_mode(self, mode: int | str) -> None:
        self.mode = MODES[mode] if isinstance(mode, str) else mode

    def wait(self) -> None:
        if self.mode == 2:
            raise RuntimeError("called a synchronizing CUDA operation")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> FakeCheck:
    return FakeCheck(monkeypatch)


def test_waits_pass_within_marked_points_only(check: FakeCheck) -> None:
    check.wait()
    with marked_waits_only():
        with pytest.raises(RuntimeError, match="synchronizing"):
            check.wait()
        with host_reads():
            check.wait()
            read(torch.ones(1))  # a mark within a mark
            check.wait()
        with pytest.raises(RuntimeError, match="synchronizing"):
            check.wait()
    assert check.mode == 1


def test_mode_is_restored_after_an_error_inside_a_marked_point(check: FakeCheck) -> None:
    with pytest.raises(ZeroDivisionError), marked_waits_only(), host_reads():
        raise ZeroDivisionError
    assert check.mode == 1
    assert not is_marked()
    with pytest.raises(KeyError), sync_mode("no such mode"):
        pass
    assert check.mode == 1


def test_context_lies_around_every_marked_point_wherever_the_function_was_imported() -> None:
    seen = []

    @contextmanager
    def around() -> Iterator[None]:
        assert is_marked()
        seen.append("in")
        yield
        seen.append("out")

    with around_host_reads(around):
        for holder in (block, transfer):
            with holder.host_reads():
                seen.append("read")
    with host_reads():
        pass
    assert seen == ["in", "read", "out"] * 2


def test_a_mapped_array_is_shared_not_copied_and_without_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.arange(5, dtype=np.int32))
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = stored(mapped, HOST, resident=True)
    assert tensor.data_ptr() == stored(mapped, HOST, resident=False).data_ptr() == mapped.ctypes.data
    assert not mapped.flags.writeable
    del mapped
    assert tensor.tolist() == [0, 1, 2, 3, 4]  # the tensor keeps the mapping


@pytest.mark.parametrize("domain", tiny.DOMAINS)
def test_training_and_evaluation_write_to_no_array_that_they_share(domain: str) -> None:
    """Mapped read-only, such a write would end the process."""
    is_news = domain == "news"
    part: Any = tiny.random_part() if is_news else tiny.random_sequences()
    made = tiny.tiny_system(domain=domain, dtype=torch.float32)
    arrays = {each.name: getattr(part, each.name) for each in fields(part)}
    arrays |= {"tokens": made.spy.tokens.host_flat, "token_offsets": made.spy.tokens.host_offsets}
    before = {name: array.copy() for name, array in arrays.items()}
    sampler = tiny.news_sampler(part) if is_news else tiny.answer_sampler(part)
    kept = [value.data_ptr() for value in vars(sampler).values() if isinstance(value, torch.Tensor)]
    assert len({array.ctypes.data for array in arrays.values()}.intersection(kept)) == 3
    strategy = SingleStep(made.system)
    for step in range(sampler.total_steps):
        strategy.step(sampler.batch(step))
    options: dict[str, Any] = {"device": HOST}
    if is_news:
        RankingEvaluator(part, history=5, max_impressions=None, **options)(made.spy, made.filter)
    else:
        cold = np.zeros(0, np.int32)
        AnswerEvaluator(part, cold, length=7, max_sequences=None, **options)(made.spy, made.filter)
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in before.items()
    }
