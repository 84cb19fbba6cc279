"""TensorBoard's event files: TFRecord frames with masked CRC-32C around protobuf `Event` messages.

Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and framework/summary.proto.
The little that is needed of them is written here: the package `tensorboard` brings gRPC, Pillow and a server,
more than 70 MB, to write scalars.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""
Field = tuple[int, int | bytes]
"""Number and value of a field; fixed-size values as bytes."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as TFRecord stores it, so that a record may hold records."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """A record: length, its checksum, the data and theirs."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _checksum(length), data, _checksum(data)))


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked(crc32c(data)))


def frames(path: Path) -> Iterator[bytes]:
    """The records of a file up to its end, or to the first that is torn or damaged."""
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12 and head[8:] == _checksum(head[:8]):
            (length,) = struct.unpack("<Q", head[:8])
            data, check = file.read(length), file.read(4)
            if check != _checksum(data):
                return
            yield data


def varint(number: int) -> bytes:
    """A protobuf varint; negative numbers as 64 bits."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


def number_field(field: int, number: int) -> bytes:
    """A field with an integer."""
    return varint(field << 3 | _VARINT) + varint(number)


def bytes_field(field: int, *parts: bytes) -> bytes:
    """A field with a string, bytes or a message."""
    data = b"".join(parts)
    return varint(field << 3 | _BYTES) + varint(len(data)) + data


def double_field(field: int, number: float) -> bytes:
    """A field with a double."""
    return varint(field << 3 | _FIXED64) + struct.pack("<d", number)


def float_field(field: int, number: float) -> bytes:
    """A field with a float; what is too large for one becomes infinite."""
    try:
        return varint(field << 3 | _FIXED32) + struct.pack("<f", number)
    except OverflowError:
        return varint(field << 3 | _FIXED32) + struct.pack("<f", float("inf" if number > 0 else "-inf"))


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, in order.

    Raises:
        ValueError: it is not a protobuf message, or is cut.
    """
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        match key & 7:
            case 0:
                value, place = _read_varint(message, place)
                yield key >> 3, value
                continue
            case 1 | 5 as fixed:
                length = 8 if fixed == _FIXED64 else 4
            case 2:
                length, place = _read_varint(message, place)
            case other:
                raise ValueError(f"wire type {other}")
        if place + length > len(message):
            raise ValueError("the message is cut")
        yield key >> 3, message[place : place + length]
        place += length


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(message):
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number, place
    raise ValueError("the message is cut")
