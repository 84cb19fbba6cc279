"""Flipped bits, as a bad disk or cable makes them."""

import os
from pathlib import Path


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file; its size and its times are those from before."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_later(path: Path, bit: int) -> None:
    """The same, once the file system's clock, which may tick every few milliseconds, has moved on."""
    before = path.stat()
    flip(path, bit)
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
