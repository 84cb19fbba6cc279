"""The ranks that train one trial together: which encodes an item, and how vectors and gradients travel.

Every rank draws every batch (a batch is a function of seed, epoch and step), so that all know which items
each of them reads, without a message. Each item is encoded by one rank, and its vector sent to its readers;
gradients return the same way. On one rank everything is the identity. Legend: I items of the catalogue,
U distinct items of all ranks, O those of them that this rank encodes or holds, N those that it reads, S rows
that travel, D width.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from grambench.training.protocols import Batch
from grambench.transfer import sent

Items = NDArray[np.int64]
Owners = Callable[[Sequence[Items]], list[Items]]
"""Distinct ids that each rank reads -> the rank that encodes or holds each of them."""


_COLLECTED = 1 << 16
"""Rows that are sent to the leader at once."""


class PeerLostError(Exception):
    """A message between ranks failed: one of them has died, or has not answered in time."""


class Group:
    """All ranks of a trial; one alone where `torch.distributed` is not initialised.

    Every method is collective: all ranks call it, in the same order.
    """

    def __init__(self, leader: int = 0, *, alone: bool = False) -> None:
        """
        Args:
            leader: the rank that follows the runner and writes the trial's log, scores and checkpoints.
            alone: one rank even where `torch.distributed` is initialised.
        """
        is_one_of_many = not alone and dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if is_one_of_many else (0, 1)
        self.leader = leader
        self.counts: Callable[[], bool] = lambda: True
        """Whether messages count now; a trial sets this to whether it trains."""
        self.waited_s = 0.0
        """Seconds that this rank has spent in messages, waiting for others included; on a CPU only."""
        self.received_bytes = 0
        """Bytes of messages that have reached this rank, from all others."""

    @property
    def leads(self) -> bool:
        """Whether this rank is the leader."""
        return self.rank == self.leader

    def part(self, batch: Batch) -> Batch:
        """This rank's users of a batch."""
        return batch if self.size == 1 else batch.part(self.rank, self.size)

    def shares(self, items_N: Items) -> list[Items]:
        """Some items dealt out to the ranks in turn."""
        return [items_N[rank :: self.size] for rank in range(self.size)]

    def exchange(self, read_by_rank: Sequence[Items], owners_of: Owners, device: torch.device) -> "Exchange":
        """The plan for the distinct ids that each rank reads, which every rank knows of all."""
        if self.size == 1:
            return Exchange(self, read_by_rank[0])
        owners = owners_of(read_by_rank)
        held = [items_N[of_N == self.rank] for items_N, of_N in zip(read_by_rank, owners, strict=True)]
        own_O, rows_S = np.unique(np.concatenate(held), return_inverse=True)
        owner_N = owners[self.rank]
        order_N, counts = owner_N.argsort(kind="stable"), np.bincount(owner_N, minlength=self.size)
        here, there = (sent(torch.from_numpy(rows), device) for rows in (rows_S, order_N))
        pairs = _Pairs(_Side(here, [len(items_N) for items_N in held]), _Side(there, counts.tolist()))
        return Exchange(self, own_O, pairs)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks, on each of them, in place."""
        if self.size > 1:
            with self.message(2 * value.nbytes * (self.size - 1) // self.size):
                dist.all_reduce(value)
        return value

    def mean(self, rows: Tensor) -> Tensor:
        """The mean of all ranks' rows, over the first dimension; on several ranks summed in float64."""
        if self.size == 1:
            return rows.mean(dim=0)
        sums = torch.cat((rows.double().sum(dim=0).flatten(), rows.new_full((1,), len(rows)).double()))
        self.sum(sums)
        return (sums[:-1] / sums[-1]).view(rows.shape[1:]).to(rows.dtype)

    def join(self, own: Sequence[Tensor], count: int, empty: Tensor) -> Tensor:
        """See `models.ranks.Ranks`; a sum in which every number has one summand, and so exact."""
        if self.size == 1:
            return torch.cat(list(own))
        rows = torch.zeros(count, dtype=torch.long)
        rows[self.rank :: self.size] = torch.tensor([len(piece) for piece in own], dtype=torch.long)
        sizes = self.sum(rows).tolist()
        joined = empty.new_zeros(sum(sizes), *empty.shape[1:])
        for piece, place in zip(own, joined.split(sizes)[self.rank :: self.size], strict=True):
            place.copy_(piece)
        return self.sum(joined)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], found: Tensor) -> None:
        """Sum all gradients in one message; a rank without one contributes zeros, as it had no work.

        Args:
            parameters: the same on every rank.
            found: 1 if a number of this rank was not finite: then it is 1 on every rank.
        """
        if self.size == 1:
            return
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = self.sum(
            torch.cat([*(gradient.flatten() for gradient in own), found.flatten().to(own[0].dtype)])
        )
        pieces = flat.split([*(p.numel() for p in parameters), 1])
        for parameter, piece in zip(parameters, pieces, strict=False):
            parameter.grad = piece.view_as(parameter).to(parameter.dtype, copy=True)
        found.copy_(pieces[-1].squeeze().clamp(max=1))

    # --- tables, whose rows are held by id -------------------------------------------------------

    def holds(self, items_N: Items) -> NDArray[np.bool_]:
        """Which of some items this rank holds in a table."""
        held_N: NDArray[np.bool_] = items_N % self.size == self.rank
        return held_N

    def slot(self, items_N: Items) -> Items:
        """The places of items among all that their owner holds."""
        return items_N // self.size

    def held(self, catalogue: int) -> int:
        """Places needed for the items of a catalogue that a rank holds."""
        return -(-catalogue // self.size)

    def at_leader(self, items_U: Items, rows: Tensor, places_I: Tensor | None = None) -> Tensor:
        """The rows of some items, in their order, on the leader's host; on other ranks none.

        Args:
            items_U: the same on every rank.
            rows: those that this rank holds, in the order of `items_U`.
            places_I: the row of each `slot`; None: rows are in the order of slots.
        """
        if self.size == 1:
            return rows
        pieces = []
        for start in range(0, max(1, len(items_U)), _COLLECTED):
            items_N = items_U[start : start + _COLLECTED]
            read_by_rank = [items_N[: len(items_N) * (rank == self.leader)] for rank in range(self.size)]
            exchange = self.exchange(read_by_rank, by_id, rows.device)
            slots_O = exchange.slots(torch.empty(0, device=rows.device))
            pieces.append(exchange.fetch(rows[slots_O if places_I is None else places_I[slots_O]]).cpu())
        return torch.cat(pieces)

    # --- on the host ---------------------------------------------------------------------------

    def greatest(self, *words: int) -> tuple[int, ...]:
        """The greatest of each word over all ranks: how a decision gets one answer."""
        if self.size == 1:
            return words
        values = torch.tensor(words)
        with self.message(0):
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return tuple(values.tolist())

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """Each rank's numbers, in the order of the ranks."""
        own = torch.tensor([numbers], dtype=torch.float64)
        if self.size == 1:
            return own.tolist()
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        with self.message(0):
            dist.all_gather(everyone, own)
        return torch.cat(everyone).tolist()

    def total(self, *numbers: float) -> list[float]:
        """The sum of each number over all ranks; one rank's are returned as they are."""
        return (
            list(numbers)
            if self.size == 1
            else [sum(each) for each in zip(*self.gather(numbers), strict=True)]
        )

    def told(self, value: Any) -> Any:
        """The leader's value, on every rank; it can be written as JSON, in which floats are exact."""
        if self.size == 1:
            return value
        words = json.dumps(value).encode() if self.leads else b""
        (length,) = self.greatest(len(words))
        sent = torch.zeros(length, dtype=torch.uint8)
        if self.leads:
            sent.copy_(torch.frombuffer(bytearray(words), dtype=torch.uint8))
        with self.message(0):
            dist.broadcast(sent, self.leader)
        return json.loads(bytes(sent.tolist()))

    @contextmanager
    def message(self, received_bytes: int) -> Iterator[None]:
        """Count the enclosed message.

        Raises:
            PeerLostError: it could not be exchanged.
        """
        began_s = time.perf_counter()
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # of any backend
            raise PeerLostError(str(error)) from error
        if self.counts():
            self.waited_s += time.perf_counter() - began_s
            self.received_bytes += received_bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """Rows of distinct items, each held by one rank, and sent to those that read it, and to no others.

    The pairs of a row and its reader are grouped by reader where a row is sent, by owner where it arrives;
    on one rank there are none, and rows are passed through.
    """

    group: Group
    own_O: Items
    """The ids, ascending, that this rank encodes or holds, and that some rank reads; there may be none."""
    pairs: "_Pairs | None" = None

    def fetch(self, own_OD: Tensor) -> Tensor:
        """The rows [N, D] that this rank reads, from those [O, D] that each rank has; without a graph."""
        if self.pairs is None:
            return own_OD
        here, there = self.pairs
        arrived_ND = self._travel(own_OD.detach()[here.rows], here.counts, there.counts)
        return torch.empty_like(arrived_ND).index_copy_(0, there.rows, arrived_ND)

    def give(self, gradient_ND: Tensor) -> Tensor:
        """The transpose of `fetch`: gradients [O, D] of this rank's rows, summed over their readers.

        They are added reader by reader, so that the sum is the same each time on CUDA, too.
        """
        if self.pairs is None:
            return gradient_ND
        here, there = self.pairs
        arrived_SD = self._travel(gradient_ND[there.rows], there.counts, here.counts)
        summed_OD = arrived_SD.new_zeros(len(self.own_O), *arrived_SD.shape[1:])
        for rows, part in zip(here.rows.split(here.counts), arrived_SD.split(here.counts), strict=True):
            summed_OD.index_add_(0, rows, part)
        return summed_OD

    def through(self, own_OD: Tensor) -> Tensor:
        """`fetch` within the graph: its backward pass is `give`."""
        if self.pairs is None:
            return own_OD
        has_graph = own_OD.requires_grad or not torch.is_grad_enabled()
        fetched: Tensor = _Fetch.apply(  # type: ignore[no-untyped-call]
            self,
            own_OD if has_graph else own_OD.requires_grad_(),  # a rank without items takes part, too
        )
        return fetched

    def slots(self, items_N: Tensor) -> Tensor:
        """The places [O] of `own_O` among all ids that this rank holds; on one rank the given ids."""
        if self.pairs is None:
            return items_N
        return sent(torch.from_numpy(self.group.slot(self.own_O)), items_N.device)

    def _travel(self, rows_SD: Tensor, counts: list[int], arriving: list[int]) -> Tensor:
        """Send so many rows to each rank, and receive so many from each."""
        arrived_RD = rows_SD.new_empty(sum(arriving), *rows_SD.shape[1:])
        with self.group.message(arrived_RD[arriving[self.group.rank] :].nbytes):
            dist.all_to_all_single(arrived_RD, rows_SD, arriving, counts)
        return arrived_RD


class _Side(NamedTuple):
    rows: Tensor
    """Rows in the order in which they travel, on the device."""
    counts: list[int]
    """How many of them go to, or come from, each rank."""


class _Pairs(NamedTuple):
    held: _Side
    """Of `own_O`, reader by reader."""
    read: _Side
    """Of the items that this rank reads, owner by owner."""


def by_id(read_by_rank: Sequence[Items]) -> list[Items]:
    """Rank r of W holds the ids with id % W = r: the same in every batch, as a table needs it."""
    return [items_N % len(read_by_rank) for items_N in read_by_rank]


class ByTokens:
    """Every rank encodes about as many tokens; items of similar length stay together.

    A batch's items are told apart by a number of each, not sorted: a plan takes linear time.
    """

    def __init__(self, lengths_I: Items) -> None:
        """`lengths_I`: tokens of each item; one without any counts as one."""
        tokens_I = lengths_I.clip(min=1)
        self._tokens_I = tokens_I.astype(np.min_scalar_type(tokens_I.max(initial=1)))
        self._number_I = np.empty(len(lengths_I), np.int64)

    def __call__(self, read_by_rank: Sequence[Items]) -> list[Items]:
        """The owners of what each rank reads."""
        items_S, number_I = np.concatenate(read_by_rank), self._number_I
        numbers_S = np.arange(len(items_S))
        number_I[items_S] = numbers_S
        items_U = items_S[number_I[items_S] == numbers_S]
        items_U = items_U[self._tokens_I[items_U].argsort(kind="stable")]
        tokens_U = self._tokens_I[items_U].astype(np.int64)
        ends_U = tokens_U.cumsum()
        number_I[items_U] = (2 * ends_U - tokens_U) * len(read_by_rank) // (2 * ends_U[-1:])
        return [number_I[items_N] for items_N in read_by_rank]


class _Fetch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, exchange: Exchange, own_OD: Tensor) -> Tensor:
        ctx.exchange = exchange
        return exchange.fetch(own_OD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.exchange.give(gradients[0])
