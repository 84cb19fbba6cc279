"""What a step and an epoch cost on W GPUs, and what travels between them; only numpy is needed.

W ranks, a global batch of B users, b = B/W of them on each rank, o items that a user reads, l tokens an item,
D the width of a vector, P parameters, U(n) distinct items among n reads (`scaling_law`). All in float32.

    e2e       encoder(b o l) + filter(b) + rest + sum(P_encoder + P_filter)
    gram-1s   encoder(U(B o) l / W) + filter(b) + rest + sum(…) + fetch(U(B o)) + give(U(B o))
    gram-1e   U(epoch) forward / W + fetch  +  steps [filter(b) + sum(P_filter) + give(U(B o)) + table]
              + mini-batches of M items [encoder step(M l / W) + sum(P_encoder)]

How ranks exchange rows is a `Design`: `TODAY` is what the product does (`grambench.training.group`).
"""

from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Literal

from benchmarks.scaling_law import Law

FLOAT = 4
_ROW_TRAFFIC = 6
"""Times that a step on the table reads or writes a row of it."""
UNDER = 1 / 3
"""Of the encoder's seconds: what a reduction under the backward pass can hide behind."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that a rank receives today, exactly as `grambench.training.group` counts them."""

    ranks: int
    encoder: int
    """Parameters that are trained."""
    filter: int
    width: int
    itemsize: int = FLOAT

    def sum(self, numbers: int) -> int:
        """`Group.sum`: both passes of a ring."""
        return 2 * self.itemsize * numbers * (self.ranks - 1) // self.ranks

    def gradients(self, parameters: int) -> int:
        """`Group.sum_gradients`: the parameters, and whether a number was not finite."""
        return self.sum(parameters + 1)

    def fetch(self, items: int) -> int:
        """`Exchange.fetch`: the rows of all other ranks, padded to the longest share."""
        return (self.ranks - 1) * ceil(items / self.ranks) * self.width * self.itemsize

    def give(self, items: int) -> int:
        """`Exchange.give`, and the sum of a table's gradients: the rows of all items."""
        return self.sum(items * self.width)

    def e2e(self) -> int:
        """A step of `e2e`."""
        return self.gradients(self.encoder + self.filter)

    def single_step(self, items: int) -> int:
        """A step of `gram-1s` or `e2e-unique` on so many distinct items."""
        return self.e2e() + self.fetch(items) + self.give(items)

    def table_step(self, items: int) -> int:
        """A step of `gram-<N>s` on so many distinct items."""
        return self.gradients(self.filter) + self.give(items)

    def opening(self, items: int) -> int:
        """Of a window of so many items."""
        return self.fetch(items)

    def fit(self) -> int:
        """Of an encoder step as a window closes: the gradients, and the loss."""
        return self.gradients(self.encoder) + self.sum(1)


def needed_bytes(ranks: int, items: float, width: int) -> float:
    """Rows by need, in one direction: of a rank's own items, those that other ranks hold."""
    return FLOAT * width * items * (ranks - 1) / ranks


# --- machines, tasks, designs ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of the parts on one GPU, with one encoder and its filter."""

    token_s: float
    """Forward and backward, within the steps of e2e and gram-1s."""
    forward_token_s: float
    """Forward, without a graph."""
    fit_token_s: float
    """Forward and backward, in a mini-batch as a window closes."""
    fit_s: float
    """An encoder step beside its tokens, captured as a graph."""
    call_s: float
    """The shortest encoder step that the host launches, kernel by kernel."""
    filter_s: float
    """The shortest filter step that the host launches, kernel by kernel."""
    filter_user_s: float
    """A filter step per user, where the GPU and not the host sets the pace."""
    rest_s: float
    """A step of e2e or gram-1s beside encoder and filter."""


@dataclass(frozen=True, slots=True)
class Wires:
    """Machines and what connects them; bytes/s of a GPU, reached in one direction."""

    name: str
    node: int
    """GPUs of a machine."""
    within: float
    between: float
    hop_s: float
    peer_s: float
    memory_bytes: float
    memory_rate: float
    """Bytes/s read and written."""

    def _shape(self, ranks: int) -> tuple[int, int]:
        return min(ranks, self.node), max(1, ranks // self.node)

    def sum_s(self, ranks: int, size: float) -> float:
        """An all-reduce of `size` bytes: rings within the machines, then between them."""
        near, far = self._shape(ranks)
        return (
            2 * size * (near - 1) / near / self.within
            + 2 * size / near * (far - 1) / far / self.between
            + 2 * self.hop_s * log2(ranks)
        )

    def gather_s(self, ranks: int, size: float) -> float:
        """An all-gather after which everyone holds `size` bytes; each byte enters a machine once."""
        near, far = self._shape(ranks)
        return (
            size * (ranks - 1) / ranks / self.within
            + size / near * (far - 1) / far / self.between
            + self.hop_s * log2(ranks)
        )

    def exchange_s(self, ranks: int, size: float) -> float:
        """An all-to-all in which everyone wants `size` bytes, spread evenly over all ranks."""
        near = self._shape(ranks)[0]
        within, between = (near - 1) / ranks, (ranks - near) / ranks
        wire_s = size * within / self.within + size * between / self.between
        return wire_s + (self.hop_s + self.peer_s * (ranks - 1) if ranks > 1 else 0.0)


@dataclass(frozen=True, slots=True)
class Task:
    """Data, networks, and what one GPU needs for them."""

    name: str
    law: Law
    samples: int
    """Of an epoch."""
    reads: float
    """o."""
    tokens: float
    """l."""
    encoder: int
    """Parameters."""
    filter: int
    """Parameters."""
    costs: Costs
    users: int
    """b of weak scaling."""
    width: int = 768
    catalogue: int = 0
    """Items that have a slot; 0: those of the law."""
    captured: bool = True
    """Whether one GPU runs its filter steps as graphs (not where the filter draws dropout)."""

    def distinct(self, users: float) -> float:
        """U of a batch."""
        return self.law.distinct(self.reads * users)

    def reuse(self, users: float) -> float:
        """R of a batch."""
        return self.reads * users / self.distinct(users)


@dataclass(frozen=True, slots=True)
class Design:
    """How ranks work together."""

    name: str
    rows: Literal["none", "all", "need"]
    """Who receives a vector: nobody (each rank encodes what its users read), everybody, its readers."""
    overlaps: bool = False
    """Gradients are summed under the encoder's backward pass."""
    captures: bool = False
    """Several ranks run graphs, as one does."""
    shards: bool = False
    """A row of the table is held by one rank."""


TODAY = Design("as it is", "all")
LOCAL = Design("local dedup", "none")
GRAPHS = Design("with graphs", "all", captures=True)
BY_NEED = Design("by need", "need", overlaps=True, captures=True, shards=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a step or an epoch, by part."""

    encoder: float
    """Of gram-1e: opening and closing."""
    filter: float
    """With what a step costs beside encoder and filter."""
    wires: float
    """Messages that nothing hides."""

    @property
    def total(self) -> float:
        return self.encoder + self.filter + self.wires


@dataclass(frozen=True, slots=True)
class Group:
    """W ranks of a task; `users` of the global batch, `items` of an encoder step, over all ranks."""

    task: Task
    wires: Wires
    ranks: int
    users: int
    items: int

    @classmethod
    def weak(cls, task: Task, wires: Wires, ranks: int) -> "Group":
        """As many users on a rank as one GPU has."""
        return cls(task, wires, ranks, task.users * ranks, 256 * ranks)

    @classmethod
    def strong(cls, task: Task, wires: Wires, ranks: int) -> "Group":
        """The training of one GPU."""
        return replace(cls.weak(task, wires, 1), ranks=ranks)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return ceil(self.task.samples / self.users)

    @property
    def distinct(self) -> float:
        """U of the global batch."""
        return self.task.distinct(self.users)

    @property
    def own_distinct(self) -> float:
        """U of a rank's users."""
        return self.task.distinct(self.users / self.ranks)

    def e2e(self, design: Design = TODAY) -> Cost:
        """A step."""
        return self._one_step(self.users / self.ranks * self.task.reads, 0.0, design)

    def single_step(self, design: Design = TODAY) -> Cost:
        """A step of gram-1s."""
        if design.rows == "none":
            return self._one_step(self.own_distinct, 0.0, design)
        return self._one_step(
            self.distinct / self.ranks, self._fetch_s(design) + self._give_s(design), design
        )

    def multi_step(self, design: Design = TODAY) -> Cost:
        """An epoch of gram-1e."""
        task, ranks = self.task, self.ranks
        opened = task.law.distinct(task.reads * task.samples)
        opening_s = opened / ranks * task.tokens * task.costs.forward_token_s
        joined_s = 0.0 if design.shards else self.wires.gather_s(ranks, opened * self._row_bytes)
        fits = ceil(opened / self.items)
        fit_s = self._fit_s(design)
        summed_s = self._unhidden_s(task.encoder, fit_s, design)
        moved_s = self._fetch_s(design) if design.shards else 0.0  # a table in shards is read by message, too
        message_s = moved_s + self._give_s(design) + self._sum_s(task.filter)
        return Cost(
            opening_s + fits * fit_s,
            self.steps * (self._filter_s(design) + self._table_s(design)),
            joined_s + fits * summed_s + self.steps * message_s,
        )

    def table_bytes(self, design: Design = TODAY) -> float:
        """On each GPU: h, h̃, and of each item of the catalogue a slot and an accumulator."""
        opened = self.task.law.distinct(self.task.reads * self.task.samples)
        all_bytes = 2 * opened * self._row_bytes + 16 * (self.task.catalogue or self.task.law.items)
        return all_bytes / self.ranks if design.shards else all_bytes

    # --- parts -----------------------------------------------------------------------------------

    @property
    def _row_bytes(self) -> int:
        return FLOAT * self.task.width

    def _captures(self, design: Design) -> bool:
        return self.task.captured and (self.ranks == 1 or design.captures)

    def _one_step(self, encoded: float, rows_s: float, design: Design) -> Cost:
        task = self.task
        least_s = task.costs.fit_s if self.ranks > 1 and self._captures(design) else task.costs.call_s
        encoder_s = max(least_s, encoded * task.tokens * task.costs.token_s)
        summed_s = self._unhidden_s(task.encoder + task.filter, encoder_s, design)
        return Cost(encoder_s, self._filter_s(design) + task.costs.rest_s, rows_s + summed_s)

    def _filter_s(self, design: Design) -> float:
        costs, own_s = self.task.costs, self.users / self.ranks * self.task.costs.filter_user_s
        return own_s if self._captures(design) else max(costs.filter_s, own_s)

    def _fit_s(self, design: Design) -> float:
        task, own = self.task, self.items / self.ranks
        captured_s = task.costs.fit_s + own * task.tokens * task.costs.fit_token_s
        return captured_s if self._captures(design) else max(task.costs.call_s, captured_s)

    def _table_s(self, design: Design) -> float:
        rows = self.distinct / self.ranks if design.shards else self.distinct
        return _ROW_TRAFFIC * rows * self._row_bytes / self.wires.memory_rate

    def _sum_s(self, numbers: int) -> float:
        return self.wires.sum_s(self.ranks, FLOAT * numbers)

    def _unhidden_s(self, numbers: int, encoder_s: float, design: Design) -> float:
        return max(0.0, self._sum_s(numbers) - (UNDER * encoder_s if design.overlaps else 0.0))

    def _fetch_s(self, design: Design) -> float:
        if design.rows == "need":
            return self.wires.exchange_s(self.ranks, self.own_distinct * self._row_bytes)
        return self.wires.gather_s(self.ranks, self.distinct * self._row_bytes)

    def _give_s(self, design: Design) -> float:
        if design.rows == "need":
            return self._fetch_s(design)
        return self.wires.sum_s(self.ranks, self.distinct * self._row_bytes)
