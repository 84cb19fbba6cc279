"""How the ranks of a trial find one another, although earlier ones may have died on the way.

Their agents' store outlives them, so it still has what dead ranks wrote, and agents do not agree on how often
they have restarted (one whose own ranks are sound counts none). The leader therefore opens a meeting with a
number of its own. The others answer in it with a word that only they know, and it is theirs once the leader's
list of those who have come repeats that word.
"""

import json
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

_MEETINGS, _LEADER, _LIST, _WORD = "meetings", "leader", "list", "word"
"""Keys: how many meetings were opened; in each, the leader's words, and who has come; a rank's word."""
_LOOK_S = 0.05

Facts = dict[str, Any]
"""JSON values."""


class Met(NamedTuple):
    """All ranks have come."""

    number: int
    """Meetings before this one."""
    leader: int
    ranks: list[Facts]
    """What each has said of itself."""
    keys: "Store"
    """For this meeting alone."""


def meet(
    store: "Store",
    rank: int,
    size: int,
    own: Facts,
    *,
    leads: Facts | None,
    join: Callable[[Facts], None],
    look: Callable[[], None],
) -> Met:
    """Meet the other ranks.

    Args:
        store: the agents'.
        rank: this one's number.
        size: how many there are.
        own: what it says of itself.
        leads: what the leader says to all; None: another rank leads.
        join: what a rank does with the leader's words before it comes; may raise.
        look: called while it waits; may raise.
    """
    if leads is not None:
        return _lead(store, rank, size, own, leads, look)
    return _follow(store, rank, own, join, look)


def _lead(store: "Store", rank: int, size: int, own: Facts, words: Facts, look: Callable[[], None]) -> Met:
    number = store.add(_MEETINGS, 1)
    keys = _keys(store, number)
    keys.set(_key(rank), json.dumps(own))
    keys.set(_LEADER, json.dumps({"rank": rank, **words}))
    names = [_key(each) for each in range(size)]
    while not keys.check(names):
        look()
        time.sleep(_LOOK_S)
    ranks = [json.loads(keys.get(name)) for name in names]
    keys.set(_LIST, json.dumps(ranks))
    return Met(number - 1, rank, ranks, keys)


def _follow(
    store: "Store", rank: int, own: Facts, join: Callable[[Facts], None], look: Callable[[], None]
) -> Met:
    word, answered, leader = secrets.token_hex(8), 0, rank
    while True:
        number = store.add(_MEETINGS, 0)
        keys = _keys(store, number)
        if number != answered and keys.check([_LEADER]):
            said = json.loads(keys.get(_LEADER))
            join(said)
            keys.set(_key(rank), json.dumps({**own, _WORD: word}))
            answered, leader = number, said["rank"]
        if number == answered and number and keys.check([_LIST]):
            ranks = json.loads(keys.get(_LIST))
            if ranks[rank][_WORD] == word:
                return Met(number - 1, leader, ranks, keys)
        look()
        time.sleep(_LOOK_S)


def _key(rank: int) -> str:
    return f"rank-{rank}"


def _keys(store: "Store", number: int) -> "Store":
    import torch.distributed as dist

    return dist.PrefixStore(f"meeting-{number}", store)  # type: ignore[attr-defined]
