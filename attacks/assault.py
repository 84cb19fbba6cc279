"""Mutate files, read them, and collect what is not an answer."""

import contextlib
import json
import random
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from grambench.errors import GrambenchError

PATIENCE_S = 20.0
"""Longest time for one mutated file."""
Mutation = Callable[[bytes, random.Random], bytes]
_BYTES = (
    b"\0",
    b"\x1b[2J",
    b"\xff",
    b"\xc2",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b"\t",
    b'"',
    b",",
    b" ",
    b"\\",
)
_NUMBERS = (b"-1", b"1e999", b"NaN", b"9" * 30, b"9" * 5000, b"0x10", b"1_0", b"-0", b"2147483648", b"1e-400")
_TEXTS = (b"[" * 20_000, b'{"a":' * 20_000, b"x" * 70_000, "\u202e\u0665\x9b".encode(), b"../" * 9, b"")
_VALUES: tuple[Any, ...] = (
    *(None, True, "", "\x1b]0;x\x07", "\ud800", "x" * 70_000, [], {}, [[]], {"": None}, [{}], "NaN", "1"),
    *(-1, 0, 1.5, 1e308, 2**31, 2**63, 10**400, -(2**70), float("nan"), float("inf")),
)


class HangError(BaseException):
    """A reader took longer than `PATIENCE_S`."""


def assault(
    name: str,
    files: Mapping[str, bytes],
    read: Callable[[Path], object],
    count: int,
    seed: int,
    mutations: "tuple[Mutation, ...] | None" = None,
) -> list[str]:
    """Mutate one file at a time and read them all.

    Args:
        name: of the format.
        files: whole ones, by path within a folder.
        read: reads the folder; may raise `GrambenchError`.
        count: how often.
        seed: of the mutations.
        mutations: of which one is drawn each time; None: of bytes.

    Returns:
        What else it raised, once for each place, with the number of the first mutation.
    """
    draw, faults = random.Random(f"{name} {seed}"), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="grambench-attack-") as scratch:
        folder = Path(scratch) / "data"
        for path, content in files.items():
            put(folder / path, content)
        read(folder)  # whole files are read
        for number in range(count):
            path = draw.choice(sorted(files))
            put(folder / path, draw.choice(mutations or (mutated,))(files[path], draw))
            with patience():
                place = fault_of(lambda: read(folder))
            if place:
                kind = place.partition(": ")[0]
                faults.setdefault(kind, f"{name}, {path}, mutation {number} of seed {seed}: {place}")
            put(folder / path, files[path])
    return list(faults.values())


def put(path: Path, content: bytes) -> None:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def fault_of(act: Callable[[], object]) -> str:
    """What is raised, and where, that is not an error for users; empty: nothing."""
    try:
        act()
    except GrambenchError as error:
        return "" if str(error) and "Traceback" not in str(error) else f"no sentence: {error!r}"
    except (Exception, HangError) as error:
        frames = traceback.extract_tb(error.__traceback__)[::-1]
        ours = next((frame for frame in frames if "/grambench/" in frame.filename), frames[0])
        return f"{type(error).__name__} at {Path(ours.filename).name} {ours.lineno}: {str(error)[:200]}"
    return ""


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Raise `HangError` after `PATIENCE_S`."""

    def ring(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to three changes of bytes: bits, cuts, repeated and exchanged pieces, hostile words."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        content = draw.choice((_flipped, _cut, _without, _twice, _with, _number, _exchanged))(content, draw)
    return content


def flipped_early(content: bytes, draw: random.Random) -> bytes:
    """Bits of the first 200 bytes, where headers are."""
    for _ in range(draw.choice((1, 2, 8))):
        content = _flipped(content[:200], draw) + content[200:]
    return content


def mutated_json(content: bytes, draw: random.Random) -> bytes:
    """A JSON document in which one value is another, or is gone."""
    document = json.loads(content)
    places = list(_places(document))
    if not places:
        return mutated(content, draw)
    holder, key = draw.choice(places)
    if isinstance(holder, dict) and draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = draw.choice(_VALUES)
    return json.dumps(document).encode()


def mutated_line(content: bytes, draw: random.Random) -> bytes:
    """A log in which one line has another value; its checksum is gone, as in logs of version 0.1."""
    lines = content.splitlines(keepends=True)
    number = draw.randrange(len(lines))
    line = json.loads(mutated_json(lines[number], draw))
    line.pop("crc", None)
    lines[number] = json.dumps(line).encode() + b"\n"
    return b"".join(lines)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from _places(node[key])


def _flipped(content: bytes, draw: random.Random) -> bytes:
    if not content:
        return content
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def _span(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(content) + 1)
    return start, min(len(content), start + draw.choice((1, 3, 20, 200)))


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _without(content: bytes, draw: random.Random) -> bytes:
    start, end = _span(content, draw)
    return content[:start] + content[end:]


def _twice(content: bytes, draw: random.Random) -> bytes:
    start, end = _span(content, draw)
    return content[:end] + content[start:]


def _with(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    words = draw.choice((_BYTES, _BYTES, _NUMBERS, _TEXTS))
    return content[:at] + draw.choice(words) + content[at:]


def _number(content: bytes, draw: random.Random) -> bytes:
    digits = [at for at in range(len(content)) if content[at : at + 1].isdigit()]
    if not digits:
        return content
    at = draw.choice(digits)
    return content[:at] + draw.choice(_NUMBERS) + content[at + 1 :]


def _exchanged(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)
