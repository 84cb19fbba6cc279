"""The ranks that train one trial together: which encodes an item, and how vectors and gradients travel.

Every rank draws every batch (a batch is a function of seed, epoch and step), so that all know its distinct
items without a message. Each item is encoded by one rank, and its vector read by all; gradients are summed.
On one rank everything is the identity. Legend: U distinct items, O those of them that this rank encodes,
D width.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from grambench.training.protocols import Batch

Items = NDArray[np.int64]


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
            alone: this process works without the other ranks.
        """
        is_one_of_many = not alone and dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if is_one_of_many else (0, 1)
        self.leader = leader
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

    def share(self, items_N: Items) -> slice:
        """Which of some items are this rank's: of their order every `size`-th."""
        return slice(self.rank, len(items_N), self.size)

    def exchange(self, items_U: Items) -> "Exchange":
        """The plan for distinct ids, the same on every rank."""
        return Exchange(self, items_U)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks, on each of them, in place."""
        if self.size > 1:
            with self.message(2 * value.nbytes * (self.size - 1) // self.size):
                dist.all_reduce(value)
        return value

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
        everyone = own.new_empty(self.size, own.shape[1])
        with self.message(0):
            dist.all_gather_into_tensor(everyone, own)
        return everyone.tolist()

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
        self.waited_s += time.perf_counter() - began_s
        self.received_bytes += received_bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """Vectors of distinct items, each encoded by one rank and read by all.

    Dense: every rank receives every vector. Rows could also be sent by need (`all_to_all_single`), which
    changes this class alone.
    """

    group: Group
    items_U: Items

    @property
    def own_O(self) -> Items:
        """The ids that this rank encodes; there may be none."""
        return self.items_U[self.group.share(self.items_U)]

    def fetch(self, own_OD: Tensor) -> Tensor:
        """Vectors [U, D] from those [O, D] that each rank has encoded; without a graph."""
        group, count = self.group, len(self.items_U)
        if group.size == 1:
            return own_OD
        most = -(-count // group.size)
        padded_MD = own_OD.new_zeros(most, own_OD.shape[1])
        padded_MD[: len(own_OD)] = own_OD.detach()
        all_RMD = own_OD.new_empty(group.size * most, own_OD.shape[1])
        with group.message(padded_MD.nbytes * (group.size - 1)):
            dist.all_gather_into_tensor(all_RMD, padded_MD)
        return all_RMD.view(group.size, most, -1).transpose(0, 1).flatten(0, 1)[:count]

    def give(self, gradient_UD: Tensor) -> Tensor:
        """The transpose of `fetch`: gradients [O, D] of this rank's items, summed over all readers."""
        if self.group.size == 1:
            return gradient_UD
        return self.group.sum(gradient_UD.clone())[self.group.share(self.items_U)]

    def through(self, own_OD: Tensor) -> Tensor:
        """`fetch` within the graph: its backward pass is `give`."""
        if self.group.size == 1:
            return own_OD
        has_graph = own_OD.requires_grad or not torch.is_grad_enabled()
        fetched: Tensor = _Fetch.apply(  # type: ignore[no-untyped-call]
            self,
            own_OD if has_graph else own_OD.requires_grad_(),  # a rank without items takes part, too
        )
        return fetched


class _Fetch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, exchange: Exchange, own_OD: Tensor) -> Tensor:
        ctx.exchange = exchange
        return exchange.fetch(own_OD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.exchange.give(gradients[0])
