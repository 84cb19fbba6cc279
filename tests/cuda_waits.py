"""CUDA's own check for waits, for tests: an error at every wait that no `host_reads` encloses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from grambench.transfer import around_host_reads


@contextmanager
def sync_mode(mode: str | int) -> Iterator[None]:
    """CUDA's check for waits in this mode; afterwards in the one before, whatever happens."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def marked_waits_only() -> Iterator[None]:
    """A wait for the device is an error, except within `host_reads`."""
    with around_host_reads(lambda: sync_mode("default")), sync_mode("error"):
        yield
