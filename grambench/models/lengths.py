"""Group ragged rows by similar length: which rows share a call, and their padded length."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

LENGTH_STEP = 8
"""Lengths are rounded up to a multiple of this, so that kernels see few shapes."""


def falling_order(lengths_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the lengths from the longest to the shortest."""
    order_N: NDArray[np.int64] = np.argsort(-lengths_N, kind="stable")
    return order_N


def bucket_bounds(
    lengths: NDArray[np.int64], bucket_tokens: int, call_tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Split a descending sequence of lengths into buckets (start, stop, padded length).

    Neighbouring lengths share a bucket while this adds at most `call_tokens` of padding; a bucket over the
    budget is split into equal parts.
    """
    if not len(lengths):
        return
    rounded = -(-lengths // LENGTH_STEP) * LENGTH_STEP
    values, starts = np.unique(-rounded, return_index=True)
    stops = [*starts[1:].tolist(), len(lengths)]
    begin, longest, padding = 0, int(rounded[0]), 0
    for length, start, stop in zip((-values).tolist(), starts.tolist(), stops, strict=True):
        padding += (stop - start) * (longest - length)
        if padding > call_tokens:
            yield from _cut(begin, start, longest, bucket_tokens)
            begin, longest, padding = start, length, 0
    yield from _cut(begin, len(lengths), longest, bucket_tokens)


def _cut(start: int, stop: int, length: int, bucket_tokens: int) -> Iterator[tuple[int, int, int]]:
    most = max(1, bucket_tokens // length)
    parts = -(-(stop - start) // most)
    edges = np.linspace(start, stop, parts + 1).round().astype(int).tolist()
    for low, high in pairwise(edges):
        yield low, high, length
