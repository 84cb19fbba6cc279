"""Control messages: one JSON line each, and a reader that forgives what it does not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.events.control import Grant, Hold, Message, Stop, decode, encode


@pytest.mark.parametrize("message", [Grant(0), Grant(7), Hold(), Stop()])
def test_a_message_is_one_line_that_reads_back(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_fields_of_a_newer_runner_are_ignored() -> None:
    assert decode(b'{"type": "grant", "turn": 3, "seconds": 2.5}') == Grant(3)
    assert decode(b'{"type": "hold", "why": "race"}') == Hold()


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"[]", b"3", b"null", b'"stop"', b"\xff\xfe"),
        *(b'{"type": "dance"}', b'{"turn": 3}', b'{"type": "grant"}'),
        *(b'{"type": "grant", "turn": "x"}', b'{"type": "grant", "turn": null}'),
    ],
)
def test_what_is_no_message_is_none(line: bytes) -> None:
    assert decode(line) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_error(line: bytes) -> None:
    decode(line)
