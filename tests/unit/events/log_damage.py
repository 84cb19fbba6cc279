"""Damage done to a run's logs by a seed: bits, bytes, lost, repeated, exchanged and cut lines."""

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[random.Random, bytes], bytes]


def flip_a_bit(rng: random.Random, data: bytes) -> bytes:
    place, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    place, count = rng.randrange(len(data)), rng.randrange(1, 40)
    return data[:place] + rng.randbytes(count) + data[place + count :]


def drop_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    first = rng.randrange(len(lines) - 1)
    del lines[first : min(first + rng.randrange(1, 6), len(lines) - 1)]  # the last one stays
    return b"".join(lines)


def repeat_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    first = rng.randrange(len(lines))
    some = lines[first : first + rng.randrange(1, 6)]
    place = rng.randrange(first + len(some), len(lines) + 1)
    return b"".join(lines[:place] + some + lines[place:])


def exchange_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    a, b = rng.sample(range(len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def cut_the_end(rng: random.Random, data: bytes) -> bytes:
    cut = data[: rng.randrange(len(data))]
    return cut[:-1] if cut.endswith(b"\n") else cut


KINDS: tuple[Damage, ...] = (
    flip_a_bit,
    change_bytes,
    drop_lines,
    repeat_lines,
    exchange_lines,
    cut_the_end,
)


def damage(rng: random.Random, folder: Path, kind: Damage) -> Path:
    """Damage one log of a run; returns which."""
    path = rng.choice(sorted(folder.glob("**/*.jsonl")))
    data = before = path.read_bytes()
    while data == before:
        data = kind(rng, before)
    path.write_bytes(data)
    return path
