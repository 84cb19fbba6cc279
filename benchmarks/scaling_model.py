"""What a step and an epoch cost on W GPUs, and what travels between them; only numpy is needed.

W ranks, a global batch of B users, b = B/W of them on each rank, o items that a user reads, l tokens an item,
D the width of a vector, P parameters, U(n) distinct items among n reads (`scaling_law`). All in float32.

    e2e       encoder(b o l) + filter(b) + rest + sum(P_encoder + P_filter)
    gram-1s   encoder(U(B o) l / W) + filter(b) + rest + sum(…) + fetch(U(b o)) + give(U(b o))
    gram-1e   U(epoch) forward / W + steps [filter(b) + sum(P_filter) + fetch(U(b o)) + give(U(b o)) + table]
              + mini-batches of M items [encoder step(M l / W) + sum(P_encoder) + fetch(M / W)]

A `Design` is how ranks work together: `TODAY` is what the product does (`grambench.training.group`).
"""

from dataclasses import dataclass, replace
from math import ceil, log2

from benchmarks.scaling_law import Law

FLOAT, DOUBLE = 4, 8
_ROW_TRAFFIC = 6
"""Times that a step on the table reads or writes a row of it."""
UNDER = 1 / 3
"""Of the encoder's seconds: what a reduction under the backward pass can hide behind."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that a rank receives, exactly as `grambench.training.group` counts them."""

    ranks: int
    encoder: int
    """Parameters that are trained."""
    filter: int
    width: int
    itemsize: int = FLOAT

    def sum(self, numbers: int, itemsize: int = 0) -> int:
        """`Group.sum`: both passes of a ring."""
        return 2 * (itemsize or self.itemsize) * numbers * (self.ranks - 1) // self.ranks

    def gradients(self, parameters: int) -> int:
        """`Group.sum_gradients`: the parameters, and whether a number was not finite."""
        return self.sum(parameters + 1)

    def mean(self, numbers: int) -> int:
        """`Group.mean` of rows of so many numbers: their sums and the count of rows, in float64."""
        return self.sum(numbers + 1, DOUBLE)

    def rows(self, rows: int) -> int:
        """Rows of an `Exchange` that arrive from other ranks."""
        return rows * self.width * self.itemsize

    def e2e(self) -> int:
        """A step of `e2e`."""
        return self.gradients(self.encoder + self.filter)

    def single_step(self, rows: int) -> int:
        """A step of `gram-1s` or `e2e-unique`; vectors and gradients are `rows`."""
        return self.e2e() + self.rows(rows)

    def table_step(self, rows: int) -> int:
        """A step of `gram-<N>s`; rows of the table and gradients are `rows`."""
        return self.gradients(self.filter) + self.rows(rows)

    def fit(self, rows: int) -> int:
        """An encoder step as a window closes: targets, gradients, and the loss."""
        return self.rows(rows) + self.gradients(self.encoder) + self.sum(1)

    def drifts(self) -> int:
        """Both drifts of a closed window: the mean vector, and four means of a number."""
        return self.mean(self.width) + 4 * self.mean(1)


def needed_bytes(ranks: int, items: float, width: int) -> float:
    """Rows in one direction, expected: of the items that a rank reads, those that other ranks hold."""
    return FLOAT * width * items * (ranks - 1) / ranks


def dense_bytes(ranks: int, items: float, width: int) -> float:
    """In both directions, if all ranks gathered the vectors of all distinct items and summed gradients."""
    return 3 * needed_bytes(ranks, items, width)


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
    deal_row_s: float = 0.0
    """The host's plan of a step of gram-1s on several ranks, per item that any of them reads."""
    plan_row_s: float = 0.0
    """The same of gram-1e, whose rows are owned by id."""


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
    exchanges: bool = True
    """Vectors go to their readers; otherwise each rank encodes what its users read."""
    captures: bool = False
    """Several ranks run graphs, as one does."""
    overlaps: bool = False
    """Gradients are summed under the encoder's backward pass."""


TODAY = Design("as it is")
LOCAL = Design("local dedup", exchanges=False)
GRAPHS = Design("with graphs", captures=True)
OVERLAP = Design("graphs and overlap", captures=True, overlaps=True)


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
        return self._one_step(self.users / self.ranks * self.task.reads, design)

    def single_step(self, design: Design = TODAY) -> Cost:
        """A step of gram-1s."""
        if not design.exchanges:
            return self._one_step(self.own_distinct, design)
        plan_s = self._plan_s(self.task.costs.deal_row_s)
        return self._one_step(self.distinct / self.ranks, design, 2 * self._rows_s(self.own_distinct), plan_s)

    def multi_step(self, design: Design = TODAY) -> Cost:
        """An epoch of gram-1e."""
        task, ranks = self.task, self.ranks
        opened = task.law.distinct(task.reads * task.samples)
        opening_s = opened / ranks * task.tokens * task.costs.forward_token_s
        fits = ceil(opened / self.items)
        fit_s = self._fit_s(design)
        fitted_s = self._rows_s(self.items / ranks) + self._unhidden_s(task.encoder, fit_s, design)
        message_s = 2 * self._rows_s(self.own_distinct) + self._sum_s(task.filter)
        filter_s = self._filter_s(design, self._plan_s(task.costs.plan_row_s))
        return Cost(
            opening_s + fits * fit_s,
            self.steps * (filter_s + self._table_s()),
            fits * fitted_s + self.steps * message_s,
        )

    def table_bytes(self) -> float:
        """On each GPU: h, h̃, and of each item of the catalogue a slot and an accumulator."""
        opened = self.task.law.distinct(self.task.reads * self.task.samples)
        all_bytes = 2 * opened * self._row_bytes + 16 * (self.task.catalogue or self.task.law.items)
        return all_bytes / self.ranks

    # --- parts -----------------------------------------------------------------------------------

    @property
    def _row_bytes(self) -> int:
        return FLOAT * self.task.width

    def _captures(self, design: Design) -> bool:
        return self.task.captured and (self.ranks == 1 or design.captures)

    def _plan_s(self, row_s: float) -> float:
        return row_s * self.ranks * self.own_distinct if self.ranks > 1 else 0.0

    def _one_step(self, encoded: float, design: Design, rows_s: float = 0.0, plan_s: float = 0.0) -> Cost:
        task = self.task
        least_s = task.costs.fit_s if self.ranks > 1 and self._captures(design) else task.costs.call_s
        encoder_s = max(least_s + plan_s, encoded * task.tokens * task.costs.token_s)
        summed_s = self._unhidden_s(task.encoder + task.filter, encoder_s, design)
        return Cost(encoder_s, self._filter_s(design) + task.costs.rest_s, rows_s + summed_s)

    def _filter_s(self, design: Design, plan_s: float = 0.0) -> float:
        costs, own_s = self.task.costs, self.users / self.ranks * self.task.costs.filter_user_s
        return max(plan_s + (0.0 if self._captures(design) else costs.filter_s), own_s)

    def _fit_s(self, design: Design) -> float:
        task, own = self.task, self.items / self.ranks
        captured_s = task.costs.fit_s + own * task.tokens * task.costs.fit_token_s
        return captured_s if self._captures(design) else max(task.costs.call_s, captured_s)

    def _table_s(self) -> float:
        return _ROW_TRAFFIC * self.distinct / self.ranks * self._row_bytes / self.wires.memory_rate

    def _sum_s(self, numbers: int) -> float:
        return self.wires.sum_s(self.ranks, FLOAT * numbers)

    def _unhidden_s(self, numbers: int, encoder_s: float, design: Design) -> float:
        return max(0.0, self._sum_s(numbers) - (UNDER * encoder_s if design.overlaps else 0.0))

    def _rows_s(self, items: float) -> float:
        return self.wires.exchange_s(self.ranks, items * self._row_bytes)
