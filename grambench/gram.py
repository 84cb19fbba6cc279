"""GRAM (NAACL 2022, arXiv 2204.04179) for any encoder, filter and optimiser: Algorithm 1 in plain PyTorch.

The functions are the method, and grambench's own strategies are made of them; `SingleStep` and `MultiStep`
join them to an encoder, a loss and two optimisers. 𝓛 is a sum over the users of a batch (eq. 8).
Legend: I items of the catalogue, U distinct items of a batch or window, N items, D width.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from torch.optim import Optimizer

Encode = Callable[[Any], Tensor]
"""Item ids -> vectors [N, D]."""
FilterPass = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Item vectors [N, D] -> 𝓛 and the gradient [N, D] of the mean loss."""
EncoderPass = Callable[[Tensor, Tensor], None]
"""Takes item vectors [N, D] with a graph, and their gradient."""
_EPS = 1e-12


def ignore(*_: object) -> None:
    """The hook that does nothing."""


def loss_backward(
    loss: Tensor, divisor: int, check: Callable[..., None] = ignore, leaf: Tensor | None = None
) -> Tensor:
    """Add the gradients of `loss / divisor`; returns the loss, detached.

    The divisor is that of the whole batch, of which the loss may be a part: a micro-batch's, or a rank's.
    `check` takes the loss, and the gradient of `leaf` where one is given.
    """
    (loss / divisor).backward()
    check(loss, None if leaf is None else leaf.grad)
    return loss.detach()


def filter_backward(
    loss: Callable[[Tensor], Tensor], vectors_ND: Tensor, users: int, check: Callable[..., None] = ignore
) -> tuple[Tensor, Tensor]:
    """Steps (2) and (3) of Algorithm 1 up to the pseudo-target; the graph is cut at the item vectors.

    The filter's parameters receive the gradient of the mean loss over `users`.

    Returns:
        𝓛, and the gradient [N, D] of the mean loss.

    Raises:
        ValueError: the loss does not read the vectors.
    """
    leaf_ND = vectors_ND.detach().requires_grad_()
    summed = loss_backward(loss(leaf_ND), users, check, leaf_ND)
    if leaf_ND.grad is None:
        raise ValueError("The loss does not depend on the item vectors: compute it from those it is given.")
    return summed, leaf_ND.grad


def encoder_backward(vectors_ND: Tensor, gradient_ND: Tensor) -> None:
    """Step (4) for N = 1: push ∂𝓛/∂h through the graph that is already there.

    The gradient of the pseudo-loss ½ Σ ‖h̃ − CE(c)‖² at h̃ = h − ∂𝓛/∂h is this vector-Jacobian
    product, without a second forward pass or a subtraction of nearly equal numbers.
    """
    torch.autograd.backward(vectors_ND, gradient_ND)


@dataclass(frozen=True, slots=True)
class RandomState:
    """State of the CPU's generator and, on CUDA, of the device's: a recomputation draws the same numbers."""

    cpu: Tensor
    cuda: Tensor | None
    device: torch.device

    @classmethod
    def capture(cls, device: torch.device) -> Self:
        """The states now."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda, device)

    def restore(self) -> None:
        """Make these the states again."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


def single_step(
    encode: Encode,
    chunks: Sequence[Any],
    order_U: Tensor,
    filter_pass: FilterPass,
    encoder_pass: EncoderPass = encoder_backward,
) -> Tensor:
    """Algorithm 1 with N = 1: each distinct item is encoded once, for the update of E2E; returns 𝓛.

    Several chunks hold one graph at a time, for about one more forward pass: the encoder runs without a graph
    first and is then recomputed chunk by chunk (compare GradCache, Gao et al., 2021). Random states are
    replayed, so that dropout draws the same masks twice. `order_U` is the row that each item of the chunks
    has among the vectors that the filter reads; one chunk keeps its order.
    """
    if len(chunks) == 1:
        vectors_UD = encode(chunks[0])
        loss, gradient_UD = filter_pass(vectors_UD)
        encoder_pass(vectors_UD, gradient_UD)
        return loss
    vectors_UD, states = _without_graph(encode, chunks, order_U)
    loss, gradient_UD = filter_pass(vectors_UD)
    after = RandomState.capture(order_U.device)
    for items_N, rows_N, state in zip(chunks, order_U.split([len(c) for c in chunks]), states, strict=True):
        state.restore()
        encoder_pass(encode(items_N), gradient_UD[rows_N])
    after.restore()
    return loss


@torch.no_grad()
def _without_graph(
    encode: Encode, chunks: Sequence[Any], order_U: Tensor
) -> tuple[Tensor, list[RandomState]]:
    states, pieces = [], []
    for items_N in chunks:
        states.append(RandomState.capture(order_U.device))
        pieces.append(encode(items_N))
    vectors_UD = torch.cat(pieces)
    return torch.empty_like(vectors_UD).index_copy_(0, order_U, vectors_UD), states


def row_adagrad(squares_I: Tensor, items_N: Tensor, gradient_ND: Tensor, lr: float) -> Tensor:
    """Displacements [N, D] of distinct items: G ← G + mean(g²), −lr · g / √G; `squares_I` holds G in fp64.

    The first one of a row has length lr · √D whatever g and the vectors are.
    """
    squares_N = squares_I[items_N] + gradient_ND.square().mean(dim=1).double()
    squares_I[items_N] = squares_N
    scale_N = lr / (squares_N + _EPS).sqrt()
    return -scale_N[:, None].to(gradient_ND.dtype) * gradient_ND


def pseudo_loss_backward(
    encode: Encode,
    items_N: Any,
    targets_ND: Tensor,
    divisor: int,
    chunk: int,
    backward: Callable[[Tensor, int], Tensor] = loss_backward,
) -> list[Tensor]:
    """Gradients of ½ Σ ‖h̃ − CE(c)‖² / `divisor` (eq. 2, 9); returns the sum of each `chunk` of items."""
    losses = []
    for start in range(0, len(items_N), chunk):
        part = slice(start, start + chunk)
        residual_ND = encode(items_N[part]) - targets_ND[part]
        losses.append(backward(0.5 * residual_ND.square().sum(), divisor))
    return losses


def fit_encoder_to_table(
    passes: Iterable[tuple[Any, Tensor]],
    targets_UD: Tensor,
    batch: int,
    step: Callable[[Any, Tensor], Sequence[Tensor]],
) -> Tensor:
    """Step (4) for N > 1: encoder steps towards h̃ over mini-batches of the window's items.

    Args:
        passes: for each pass the ids in the order of their turn, and the rows of their targets.
        targets_UD: h̃.
        batch: items of an encoder step.
        step: an encoder step on ids and targets [N, D]; returns pseudo-losses, summed over the items.

    Returns:
        The mean over the items of the pseudo-loss during the last pass.
    """
    losses: list[Tensor] = []
    for items_U, rows_U in passes:
        losses.clear()
        for start in range(0, len(items_U), batch):
            part = slice(start, start + batch)
            losses += step(items_U[part], targets_UD[rows_U[part]])
    return torch.stack(losses).sum() / len(targets_UD)


class ItemTable(nn.Module):
    """The vectors h̃ of a window's items, which the filter's gradients move (eq. 1, 6): [I, D], no parameters.

    Keep it in fp32 or wider: bf16 loses displacements smaller than 2⁻⁸ of a vector's length.
    """

    rows_ID: Tensor
    squares_I: Tensor
    known_I: Tensor
    """Which items the open window holds."""

    def __init__(
        self,
        items: int,
        width: int,
        rule: Literal["adagrad", "sgd"] = "adagrad",
        lr: float = 0.1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            items: I; ids are 0 to I − 1.
            width: D.
            rule: `adagrad` as `row_adagrad`, or `sgd`, which with lr 1 is eq. 6 to the letter.
            lr: step size.
            dtype: of the vectors.

        Raises:
            ValueError: the rule is unknown.
        """
        super().__init__()
        if rule not in ("adagrad", "sgd"):
            raise ValueError(f"Unknown table rule {rule!r}: use 'adagrad' or 'sgd'.")
        self.rule, self.lr = rule, lr
        self.register_buffer("rows_ID", torch.zeros(items, width, dtype=dtype))
        self.register_buffer("squares_I", torch.zeros(items, dtype=torch.float64))
        self.register_buffer("known_I", torch.zeros(items, dtype=torch.bool))

    def begin_epoch(self) -> None:
        """Forget the squares that `adagrad` has accumulated: they are an epoch's."""
        self.squares_I.zero_()

    def join(self, items_N: Tensor, vectors_ND: Tensor) -> None:
        """Distinct items join the window at h."""
        self.rows_ID[items_N] = vectors_ND.detach().to(self.rows_ID)
        self.known_I[items_N] = True

    def move(self, items_N: Tensor, gradient_ND: Tensor) -> None:
        """Step (3) for the gradient of 𝓛 in distinct items; every other row stays bit-equal."""
        if self.rule == "sgd":
            displacement_ND = -self.lr * gradient_ND
        else:
            displacement_ND = row_adagrad(self.squares_I, items_N, gradient_ND, self.lr)
        self.rows_ID.index_add_(0, items_N, displacement_ND)


class Optimizers(NamedTuple):
    """Any of `torch.optim` whose step takes no closure; their schedules stay yours."""

    encoder: Optimizer
    filter: Optimizer


@dataclass(frozen=True, slots=True)
class Hooks:
    """What watches the method; by default nothing does."""

    encoding: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Makes a context around each of the encoder's passes, such as a clock."""
    check: Callable[[Tensor, Tensor | None], None] = ignore
    """Takes every loss, and of the filter's the gradient [U, D] that it sends to the item vectors."""
    count: Callable[[int], None] = ignore
    """Takes the number of items of every call of the encoder."""


NO_HOOKS = Hooks()


@dataclass
class _Method:
    """What both ways to train share."""

    encode: Encode
    """Distinct item ids [N], on the encoder's device -> vectors [N, D] with a graph."""
    loss: Callable[[Tensor, Any], Tensor]
    """Vectors [*items.shape, D] of the ids given to `step`, and its batch -> 𝓛, a scalar."""
    optimizers: Optimizers
    hooks: Hooks = field(default=NO_HOOKS, kw_only=True)

    @property
    def device(self) -> torch.device:
        """Where the encoder lies."""
        device: torch.device = self.optimizers.encoder.param_groups[0]["params"][0].device
        return device

    def _encoded(self, items_N: Tensor) -> Tensor:
        with self.hooks.encoding():
            vectors_ND = self.encode(items_N)
        self.hooks.count(len(items_N))
        if vectors_ND.dim() != 2 or len(vectors_ND) != len(items_N):
            shape = list(vectors_ND.shape)
            raise ValueError(f"`encode` returned {shape} for {len(items_N)} ids: return one row for each id.")
        return vectors_ND

    def _filter_pass(self, place: Tensor, batch: Any, users: int) -> FilterPass:
        """Reads the rows of vectors [U, D] at `place`, an index of the shape of the occurrences."""
        return lambda vectors_UD: filter_backward(
            lambda leaf_UD: self.loss(embedding(place, leaf_UD), batch), vectors_UD, users, self.hooks.check
        )

    def _encoder_pass(self, vectors_ND: Tensor, gradient_ND: Tensor) -> None:
        if not vectors_ND.requires_grad:
            raise ValueError("`encode` returned vectors without a graph: leave gradients on.")
        with self.hooks.encoding():
            encoder_backward(vectors_ND, gradient_ND)


@dataclass
class SingleStep(_Method):
    """Single-step GRAM (Algorithm 1 with N = 1): the update of E2E, with each distinct item encoded once."""

    chunk: int | None = None
    """Items whose graph is held at once, at about one more forward pass; None: all."""

    def gradients(self, items: Tensor, batch: Any, users: int) -> Tensor:
        """Add the gradients of a batch, or of a part of one, to both modules; returns 𝓛, detached.

        Args:
            items: ids of any shape, as often as they occur; padding is to be masked in the loss.
            batch: handed to the loss.
            users: of the whole batch; the gradients are those of the mean loss over them.

        Raises:
            ValueError: `encode` does not return a vector with a graph for each id, or the loss reads none.
        """
        items_U, place = items.to(self.device).unique(return_inverse=True)
        count = len(items_U)
        chunks, order_U = items_U.split(self.chunk or count), torch.arange(count, device=self.device)
        filter_pass = self._filter_pass(place, batch, users)
        return single_step(self._encoded, chunks, order_U, filter_pass, self._encoder_pass)

    def step(self, items: Tensor, batch: Any, users: int) -> Tensor:
        """`gradients`, and an update of both modules."""
        loss = self.gradients(items, batch, users)
        for optimizer in self.optimizers:
            _update(optimizer)
        return loss


@dataclass
class MultiStep(_Method):
    """Multi-step GRAM (Algorithm 1, N > 1): filter steps against a table, which the encoder then follows."""

    table: ItemTable
    """Of the catalogue; it moves to the encoder's device."""
    steps: int
    """CF steps of a window, from 1."""
    encoder_batch: int = 64
    """Items of an encoder step when a window closes."""
    chunk: int | None = None
    """Of these, items whose graph is held at once; None: all."""
    order: Callable[[int], Tensor] = torch.randperm
    """Number of items -> the permutation in which the encoder meets them."""
    taken: int = field(default=0, init=False)
    """Steps of the open window so far."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"A window of {self.steps} steps: use 1 or more.")
        self.table.to(self.device)

    def step(self, items: Tensor, batch: Any, users: int) -> Tensor:
        """Move filter and table; the window's last step also trains the encoder.

        Arguments, result and errors are those of `SingleStep.gradients`.
        """
        items_U, place = items.to(self.device).unique(return_inverse=True)
        new_N = items_U[~self.table.known_I[items_U]]
        if len(new_N):  # the encoder stands still within a window, so items may join when they are met
            with torch.no_grad():
                self.table.join(new_N, self._encoded(new_N))
        loss, gradient_UD = self._filter_pass(place, batch, users)(self.table.rows_ID[items_U])
        _update(self.optimizers.filter)
        self.table.move(items_U, gradient_UD * users)  # eq. 8: 𝓛 is a sum over the users
        self.taken += 1
        if self.taken == self.steps:
            self.close()
        return loss

    def close(self) -> Tensor | None:
        """Fit the encoder to the table and open the next window: call it where an epoch or training ends.

        Returns:
            The mean pseudo-loss of the window's items; None: no window was open.
        """
        if not self.taken:
            return None
        items_U = self.table.known_I.nonzero()[:, 0]
        rows_U = self.order(len(items_U)).to(self.device)
        targets_UD = self.table.rows_ID[items_U]
        passes = [(items_U[rows_U], rows_U)]
        pseudo_loss = fit_encoder_to_table(passes, targets_UD, self.encoder_batch, self._encoder_step)
        self.table.known_I.zero_()
        self.taken = 0
        return pseudo_loss

    def state_dict(self) -> dict[str, Any]:
        """The open window; modules and optimisers have their own."""
        return {"taken": self.taken, "table": self.table.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.taken = state["taken"]
        self.table.load_state_dict(state["table"])

    def _encoder_step(self, items_N: Tensor, targets_ND: Tensor) -> list[Tensor]:
        count = len(items_N)
        losses = pseudo_loss_backward(
            self._encoded, items_N, targets_ND, count, self.chunk or count, self._pseudo_backward
        )
        _update(self.optimizers.encoder)
        return losses

    def _pseudo_backward(self, loss: Tensor, items: int) -> Tensor:
        with self.hooks.encoding():
            return loss_backward(loss, items, self.hooks.check)


def _update(optimizer: Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad()
