"""Ranks meet although dead ones have written to the store, and agents restart in any order."""

import threading
from typing import Any

import pytest
import torch.distributed as dist

from grambench.worker.meeting import Met, meet

SIZE = 2


class StoppedError(Exception):
    """A rank that was told to end."""


class Rank(threading.Thread):
    """A rank that comes to the meeting, until it is stopped."""

    def __init__(self, store: Any, rank: int) -> None:
        super().__init__(daemon=True)
        self.store, self.rank = store, rank
        self.ending, self.met = threading.Event(), list[Met]()
        self.joined: list[dict[str, Any]] = []
        self.start()

    def run(self) -> None:
        try:
            leads = {"torch": "2"} if self.rank == 0 else None
            own = {"pid": id(self)}
            met = meet(self.store, self.rank, SIZE, own, leads=leads, join=self.joined.append, look=self.look)
            self.met.append(met)
        except StoppedError:
            return

    def look(self) -> None:
        if self.ending.is_set():
            raise StoppedError

    def stop(self) -> None:
        self.ending.set()
        self.join(10)


@pytest.fixture
def store() -> Any:
    return dist.HashStore()  # type: ignore[attr-defined]


def together(*ranks: Rank) -> list[Met]:
    for rank in ranks:
        rank.join(10)
        assert rank.met, f"rank {rank.rank} still waits"
    return [rank.met[0] for rank in ranks]


def test_all_learn_who_has_come(store: Any) -> None:
    follower = Rank(store, 1)
    leader = Rank(store, 0)
    for met in together(leader, follower):
        assert (met.number, met.leader) == (0, 0)
        assert [facts["pid"] for facts in met.ranks] == [id(leader), id(follower)]
    assert follower.joined == [{"rank": 0, "torch": "2"}]


def test_a_meeting_of_the_dead_is_no_ones(store: Any) -> None:
    """All had met before: a new rank that comes first finds their list, and waits for its own leader."""
    together(Rank(store, 0), Rank(store, 1))
    follower = Rank(store, 1)
    follower.join(0.3)
    assert not follower.met
    leader = Rank(store, 0)
    assert [met.number for met in together(leader, follower)] == [1, 1]


def test_a_leader_that_dies_while_it_waits_is_followed_by_another(store: Any) -> None:
    Rank(store, 0).stop()
    follower = Rank(store, 1)
    leader = Rank(store, 0)
    mets = together(leader, follower)
    assert [met.ranks[1]["pid"] for met in mets] == [id(follower)] * 2


def test_a_rank_that_dies_after_its_answer_is_missed(store: Any) -> None:
    dead = Rank(store, 1)
    first = Rank(store, 0)
    together(first, dead)
    late = Rank(store, 1)  # the agent of the leader has not noticed yet
    late.join(0.3)
    assert not late.met
    again = Rank(store, 0)
    assert [met.ranks[1]["pid"] for met in together(again, late)] == [id(late)] * 2
