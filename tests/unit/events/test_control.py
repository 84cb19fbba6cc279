"""Control messages: one JSON line each, and a reader that forgives what it does not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grambench.events.control import Alive, Grant, Hold, Lines, Message, Stop, TurnOver, decode, encode


@pytest.mark.parametrize(
    "message", [Grant(0), Grant(7, 2.5), Hold(), Stop(), Stop("skipped"), TurnOver(3, 1.5), Alive()]
)
def test_a_message_is_one_line_that_reads_back(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_fields_of_a_newer_runner_are_ignored() -> None:
    assert decode(b'{"type": "grant", "turn": 3, "moon": "full"}') == Grant(3)
    assert decode(b'{"type": "hold", "why": "race"}') == Hold()


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b"[]", b"3", b"null", b'"stop"', b"\xff\xfe"),
        *(b'{"type": "dance"}', b'{"turn": 3}', b'{"type": "grant"}'),
        *(b'{"type": "grant", "turn": "x"}', b'{"type": "grant", "turn": null}'),
        *(b'{"type": "stop", "ending": "softly"}', b'{"type": "turn_over", "turn": 1, "train_s": null}'),
        *(b'{"type": "turn_over", "turn": 1, "train_s": NaN}', b'{"type": "grant", "turn": true}'),
        *(b'{"type": "grant", "turn": 1' + b"0" * 40 + b"}", b'{"type": ' + b"[" * 100_000),
        *(b'{"type": "turn_over", "turn": 1}', b'{"type": "grant", "turn": 1, "seconds": "x"}'),
    ],
)
def test_what_is_no_message_is_none(line: bytes) -> None:
    assert decode(line) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_error(line: bytes) -> None:
    decode(line)


@given(st.lists(st.sampled_from([Grant(1), Hold(), TurnOver(2, 0.5)]), max_size=5), st.integers(1, 9))
def test_a_pipe_may_cut_messages_anywhere(messages: list[Message], size: int) -> None:
    data, lines, found = b"".join(map(encode, messages)), Lines(), []
    for start in range(0, len(data), size):
        found += lines.feed(data[start : start + size])
    assert found == messages
