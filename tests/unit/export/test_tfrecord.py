"""TensorBoard's event files, byte by byte."""

import struct
from itertools import accumulate
from pathlib import Path

import pytest

from grambench.export.tfrecord import (
    bytes_field,
    crc32c,
    double_field,
    fields,
    float_field,
    frame,
    frames,
    number_field,
)


def test_checksums_are_those_of_rfc_3720() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_a_record_begins_as_every_event_file_does() -> None:
    assert frame(bytes(24))[:12] == b"\x18\0\0\0\0\0\0\0\xa3\x7fK\x22"


def test_frames_come_back_up_to_what_is_torn_or_damaged(tmp_path: Path) -> None:
    path, records = tmp_path / "events", [b"one", b"", b"three"]
    ends = list(accumulate(len(frame(record)) for record in records))
    for length in range(ends[-1] + 1):
        path.write_bytes(b"".join(map(frame, records))[:length])
        assert [*frames(path)] == records[: sum(end <= length for end in ends)]
    path.write_bytes(frame(b"one") + frame(b"two").replace(b"two", b"twO"))
    assert [*frames(path)] == [b"one"]


def test_fields_come_back() -> None:
    message = (
        double_field(1, 0.5)
        + number_field(2, 300)
        + bytes_field(5, b"a", b"b")
        + float_field(2, 1e300)
        + number_field(3, -1)
    )
    assert [*fields(message)] == [
        (1, struct.pack("<d", 0.5)),
        (2, 300),
        (5, b"ab"),
        (2, struct.pack("<f", float("inf"))),
        (3, (1 << 64) - 1),
    ]


@pytest.mark.parametrize("cut", [b"\x80", b"\x08", b"\x2a\x05ab", b"\x09\0", b"\x0b"])
def test_a_message_that_is_cut_is_refused(cut: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut|wire type"):
        [*fields(cut)]
