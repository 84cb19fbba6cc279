"""Marked waits: what lies around them, and the tests' use of CUDA's check, on a device that is made up."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from cuda_waits import marked_waits_only, sync_mode

from grambench import transfer
from grambench.data.batches import block
from grambench.transfer import around_host_reads, host_reads, is_marked, read

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
