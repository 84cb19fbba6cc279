"""The equivalence audit: do gram-1s and e2e in micro-batches have the gradients of e2e in one graph?

And have ranks that train together the gradients of one process?"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from grambench.config.spec import Spec
from grambench.config.strategies import StrategyRow, adapts, row_of
from grambench.domains.prepared import Prepared
from grambench.domains.training import TrainSampler, make_sampler
from grambench.errors import ConfigError
from grambench.events.types import AuditFinished, EncoderChecked, Event
from grambench.models.encoders.lora import leave_lora_start
from grambench.models.encoders.states import CachedItemEncoder
from grambench.training.encoder_check import check_encoder, require_equal
from grambench.training.group import Group
from grambench.training.phases import System, warm_up_encoder
from grambench.training.protocols import Batch
from grambench.training.strategies import ENCODER_AND_FILTER, OneStep, factory_of, make_strategy
from grambench.training.strategies.e2e import EndToEnd
from grambench.training.strategies.single_step import SingleStep
from grambench.training.system import Modules, build_system
from grambench.transfer import HOST

TOLERANCE = 1e-10
"""Largest relative difference of gradients, where the model computes in float64 throughout."""
FACTOR = 10
"""Tolerance over the model's difference from itself, where parts of it compute in fp32 (Llama, Gemma)."""
LOOSEST = 1e-5
"""No tolerance is above it: a gradient that is really different differs by more."""
Gradients = dict[str, list[torch.Tensor]]
"""By module: `encoder` and `filter`."""
Differences = dict[str, tuple[float, float]]
"""By module: largest difference, absolute and relative."""
MAX_TOKENS = 8192
"""Maximum number of token positions of the audited batch; users are dropped until it fits."""
MOST_RANKS = 3
"""Ranks that are audited where more train: more take as much memory, and show nothing new."""


def audit(
    spec: Spec,
    data: Prepared,
    device: torch.device,
    emit: Callable[[Event], None] = lambda _: None,
    of_ranks: Callable[[], Differences] | None = None,
) -> AuditFinished:
    """Compare the gradients in float64 with dropout 0, using the strategies' own code.

    First the encoder's vectors are compared with those of the model itself, in fp32. The batch is the first
    one drawn with the audit's seed, cut to `MAX_TOKENS`; if none of its items repeats, every user is taken
    twice, so that encodings are shared. Each way in which the run's trials adapt the encoder is audited;
    LoRA's updates are moved away from their zero start.

    The differences are the larger of gram-1s's and of those of e2e in micro-batches of a third of the users.
    Other strategies of the run that claim the update of e2e are compared on the same batch: those of plug-ins
    and those with networks of their own (`e2e-gc`), in two micro-batches. Where gradients differ by more than
    `TOLERANCE`, e2e is also compared with itself (`_self_relative`): a model that computes norms or rotations
    in fp32 does not repeat itself more exactly, and is held to `FACTOR` times that.

    Args:
        spec: the specification, including the probe's choices.
        data: the prepared data.
        device: where the run trains.
        emit: receives the result of the encoder check.
        of_ranks: waits for `differences_of_ranks` of `audited_ranks(spec)` processes; None: one process.

    Raises:
        ConfigError: the encoder's vectors differ from the model's, a token has no embedding, the model does
            not compute in float64, or a strategy that claims the update of e2e cannot be compared.
    """
    began = time.monotonic_ns()
    own, *others = variants(spec)
    first = _audited(own, data, device, emit)
    ranks = of_ranks() if of_ranks is not None else None
    first.settle(ranks)
    found = [first, *(_audited(other, data, device).settled() for other in others)]
    worst = _largest([each.differences for each in found])
    return AuditFinished(
        equivalent=all(each.equivalent for each in found),
        tolerance=max(each.tolerance for each in found),
        users=first.batch.users,
        occurrences=first.batch.occurrences().occurrences,
        unique_items=len(first.batch.unique().items_N),
        encoder_absolute=worst["encoder"][0],
        encoder_relative=worst["encoder"][1],
        filter_absolute=worst["filter"][0],
        filter_relative=worst["filter"][1],
        seconds=(time.monotonic_ns() - began) / 1e9,
        note=first.note,
        plugins=[_plugin_result(row, found) for row in first.plugins],
        self_relative=max((each.own for each in found if each.own is not None), default=None),
        ranks=1 if ranks is None else audited_ranks(spec),
        ranks_relative=None if ranks is None else max(relative for _, relative in ranks.values()),
        ranks_equivalent=ranks is None or _is_within(ranks, first.tolerance),
        adapts=[each.result() for each in found] if len(found) > 1 else [],
    )


def variants(spec: Spec) -> list[Spec]:
    """The run's settings with those of each trial that adapts the encoder in another way; at least one."""
    own = [spec.with_own(entry) for entry in spec.entries if adapts(row_of(entry.strategy))]
    return list({each.encoder.model_dump_json(): each for each in own}.values()) or [spec]


@dataclass(slots=True)
class _Audited:
    """What was found of one way to adapt the encoder."""

    adapt: str
    checked: EncoderChecked | None
    batch: Batch
    note: str
    differences: Differences
    plugins: dict[StrategyRow, Differences]
    compare_with_itself: Callable[[], float | None]
    own: float | None = None
    """How much e2e differs from itself; None: not measured, or not finite."""

    def settle(self, ranks: Differences | None) -> None:
        """Compare e2e with itself if anything differs by more than `TOLERANCE`."""
        all_found = (self.differences, *self.plugins.values(), *filter(None, [ranks]))
        if not all(_is_within(each, TOLERANCE) for each in all_found):
            self.own = self.compare_with_itself()

    def settled(self) -> "_Audited":
        """Itself, without the modules."""
        self.settle(None)
        self.compare_with_itself = lambda: None
        return self

    @property
    def tolerance(self) -> float:
        return tolerance_of(self.own)

    @property
    def equivalent(self) -> bool:
        return _is_within(self.differences, self.tolerance)

    def result(self) -> dict[str, Any]:
        """As in the event."""
        relative = {f"{name}_relative": pair[1] for name, pair in self.differences.items()}
        return {"adapt": self.adapt, "equivalent": self.equivalent, **relative}


def _audited(
    spec: Spec, data: Prepared, device: torch.device, emit: Callable[[Event], None] = lambda _: None
) -> _Audited:
    system, modules = _without_dropout(spec, data, device)
    checked = check_encoder(system)
    if checked is not None:
        emit(checked)
        require_equal(checked, spec.encoder.model or "from scratch")
    _compute_in_float64(modules)
    _require_float64(system, spec.encoder.model or "from scratch")
    sampler = make_sampler(spec, data, device, seed=spec.audit.seed, batch_size=spec.audit.users, epochs=1)
    batch, note = _audited_batch(sampler, system)
    reference = _gradients(EndToEnd(system, batch.users), modules, batch)
    candidates = SingleStep(system), EndToEnd(system, max(1, batch.users // 3))
    return _Audited(
        spec.encoder.adapt,
        checked,
        batch,
        note,
        _largest([_differences(reference, _gradients(each, modules, batch)) for each in candidates]),
        _audited_others(spec, data, (system, modules), sampler, batch, reference),
        partial(_self_relative, system, modules, batch, reference),
    )


def audited_ranks(spec: Spec) -> int:
    """How many ranks are audited; 1: none, since one process trains each trial."""
    return min(MOST_RANKS, spec.ranks.size)


def differences_of_ranks(spec: Spec, data: Prepared, group: Group) -> Differences | None:
    """As one of `audited_ranks(spec)` processes: their gradients in float64, against those of e2e in one.

    The batch has two users for each rank and one more, so that the ranks' parts differ in size.

    Args:
        spec: as for `audit`.
        data: the prepared data.
        group: the processes.

    Returns:
        The larger differences of e2e and gram-1s, on the leader; None on the others.
    """
    spec = variants(spec)[0]
    system, modules = _without_dropout(spec, data, HOST)
    _compute_in_float64(modules)
    users = 2 * audited_ranks(spec) + 1
    sampler = make_sampler(spec, data, HOST, seed=spec.audit.seed, batch_size=users, epochs=1)
    batch, _ = _audited_batch(sampler, system)
    strategies = EndToEnd(system, batch.users), SingleStep(system)
    reference = _gradients(strategies[0], modules, batch) if group.leads else None
    system.group = group
    found = [_gradients(strategy, modules, group.part(batch)) for strategy in strategies]
    if reference is None:
        return None
    return _largest([_differences(reference, candidate) for candidate in found])


def _largest(found: Sequence[Differences]) -> Differences:
    """By module, the largest of several strategies."""
    return {name: max((each[name] for each in found), key=max) for name in found[0]}


def _without_dropout(
    spec: Spec, data: Prepared, device: torch.device, strategy: str = "e2e"
) -> tuple[System, Modules]:
    """A strategy's networks with the weights of the audit's seed."""
    plain = spec.encoder.model_copy(update={"dropout": 0.0, "compile": "off"})
    settings, alone = spec.model_copy(update={"encoder": plain}), Group(alone=True)
    system, modules = build_system(
        settings, data, device, seed=spec.audit.seed, strategy=strategy, group=alone
    )
    drop_nothing(modules.filter)
    if isinstance(system.encode, CachedItemEncoder):
        system.encode.states.in_fp16 = False
    return system, modules


def _compute_in_float64(modules: Modules) -> None:
    """In float64, and with LoRA's updates away from their start."""
    _run_experts_one_by_one(modules.encoder)
    modules.encoder.to(torch.float64)
    modules.filter.to(torch.float64)
    leave_lora_start(modules.encoder)


def _run_experts_one_by_one(encoder: nn.Module) -> None:
    """Let a mixture of experts compute in float64, which torch's grouped matrix products do not."""
    for module in encoder.modules():
        choose: Any = getattr(module, "set_experts_implementation", None)
        if choose is not None:
            choose("eager")


def _require_float64(system: System, label: str) -> None:
    """Reject an encoder that cannot encode an item forward and backward in float64, or only to NaN.

    Raises:
        ConfigError: it cannot.
    """
    why = ""
    try:
        warm_up_encoder(system, np.zeros(1, np.int64))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError) as error:
        why = str(error).splitlines()[0].rstrip(".")
    encoder = system.encode.encoder
    if not why and not all(
        weight.grad.isfinite().all() for weight in encoder.parameters() if weight.grad is not None
    ):
        why = "its gradients are not finite"
    if why:
        raise ConfigError(
            f"The encoder {label} cannot be audited in float64: {why}.",
            "Choose another with --set encoder.model=NAME; docs/encoders.md lists families that can be used.",
        )
    encoder.zero_grad()


def tolerance_of(self_relative: float | None) -> float:
    """Largest relative difference that counts as equal, given that of e2e from itself (None: below 1e-10)."""
    return TOLERANCE if self_relative is None else max(TOLERANCE, min(LOOSEST, FACTOR * self_relative))


def _is_within(differences: Differences, tolerance: float) -> bool:
    """Absolute differences count as well while the tolerance is that of float64."""
    first = 0 if tolerance == TOLERANCE else 1
    return max(max(pair[first:]) for pair in differences.values()) <= tolerance


def _self_relative(system: System, modules: Modules, batch: Batch, reference: Gradients) -> float | None:
    """Largest relative difference of e2e from itself: a third of the loss, and one user at a time.

    In exact arithmetic nothing changes, but every rounding does. None: a gradient was not finite.
    """
    honest = system.filter
    system.filter = _Third(honest)  # type: ignore[assignment]
    try:
        thirds = _gradients(EndToEnd(system, 1), modules, batch)
    finally:
        system.filter = honest
    again = {name: [3 * gradient for gradient in found] for name, found in thirds.items()}
    worst = max(relative for _, relative in _differences(reference, again).values())
    return worst if math.isfinite(worst) else None


class _Third:
    """A filter with a third of its loss."""

    def __init__(self, honest: Any) -> None:
        self.honest, self.across_users = honest, honest.across_users

    def loss(self, vectors_ND: torch.Tensor, view: Any) -> torch.Tensor:
        """A third of the filter's loss of a view."""
        loss: torch.Tensor = self.honest.loss(vectors_ND, view) / 3
        return loss


def _audited_others(
    spec: Spec,
    data: Prepared,
    common: tuple[System, Modules],
    sampler: TrainSampler,
    batch: Batch,
    reference: Gradients,
) -> dict[StrategyRow, Differences]:
    """Differences from e2e of other strategies that claim its update; `common` has the networks of most."""
    found = {}
    for row in dict.fromkeys(map(row_of, spec.training.strategies)):
        own = not row.package and factory_of(row).networks is not ENCODER_AND_FILTER
        if not row.claims_equality or not (row.package or own):
            continue
        system, modules = common
        if own:
            system, modules = _without_dropout(spec, data, sampler.device, row.name)
            _compute_in_float64(modules)
        strategy = _claimed(row, spec, system, sampler, batch)
        found[row] = _differences(reference, _gradients(strategy, modules, batch))
    return found


def _plugin_result(row: StrategyRow, found: Sequence[_Audited]) -> dict[str, Any]:
    worst = _largest([each.plugins[row] for each in found])
    relative = {f"{name}_relative": pair[1] for name, pair in worst.items()}
    equivalent = all(_is_within(each.plugins[row], each.tolerance) for each in found)
    return {"strategy": row.name, "package": row.package, "equivalent": equivalent, **relative}


def _claimed(row: StrategyRow, spec: Spec, system: System, sampler: TrainSampler, batch: Batch) -> OneStep:
    """A strategy on the audited system, in two micro-batches if it divides the batch.

    Raises:
        ConfigError: it cannot be compared with e2e.
    """
    strategy = make_strategy(
        row.name,
        system,
        sampler,
        spec=spec,
        micro_batch=-(-batch.users // 2),
        encoder_chunk=None,
        seed=spec.audit.seed,
    )
    is_ours = not row.package or factory_of(row).networks is ENCODER_AND_FILTER
    if is_ours and isinstance(strategy, OneStep):
        return strategy
    raise ConfigError(
        f"{row.name} of the plug-in {row.package} claims the update of e2e, but cannot be audited: it has"
        " its own networks, or is not a OneStep.",
        "Set claims_equality=False in its row, or derive it from grambench.training.strategies.OneStep.",
    )


def drop_nothing(module: nn.Module) -> None:
    """Set every dropout inside a module to 0, including those of LSTMs."""
    for part in module.modules():
        name = "p" if isinstance(part, _DropoutNd) else "dropout"
        if isinstance(getattr(part, name, None), float):
            setattr(part, name, 0.0)


def _audited_batch(sampler: TrainSampler, system: System) -> tuple[Batch, str]:
    batch: Batch = sampler.batch(0)
    whole = batch.users
    while batch.users > 1 and _tokens(system, batch) > MAX_TOKENS:
        batch = next(batch.split(max(1, batch.users // 2)))
    notes = [] if batch.users == whole else [f"cut from {whole} to {batch.users} users"]
    if len(batch.unique().items_N) == batch.occurrences().occurrences:
        batch = batch.repeated()
        notes.append("no item repeated, so every user was taken twice")
    return batch, "; ".join(notes)


def _tokens(system: System, batch: Batch) -> int:
    return int(system.encode.tokens.lengths[batch.occurrences().host_items_N].sum())


def _gradients(strategy: OneStep, modules: Modules, batch: Batch) -> Gradients:
    strategy.gradients(batch)
    strategy.system.sum_gradients(strategy.system.encoder_optimizer, strategy.system.filter_optimizer)
    taken = {}
    for name, module in (("encoder", modules.encoder), ("filter", modules.filter)):
        parameters = list(module.parameters())
        taken[name] = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
    return taken


def _differences(reference: Gradients, candidate: Gradients) -> Differences:
    return {name: _difference(reference[name], candidate[name]) for name in reference}


def _difference(reference: list[torch.Tensor], candidate: list[torch.Tensor]) -> tuple[float, float]:
    """Largest |difference| of a module, absolute and relative to the module's largest |gradient|.

    Relative to the module rather than each element: some true gradients are exactly 0 (an attention
    key's bias), and only rounding errors remain. Infinite if a gradient is not finite.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in (*reference, *candidate)):
        return math.inf, math.inf  # max() would skip a NaN
    absolute = max(float((a - b).abs().max()) for a, b in zip(reference, candidate, strict=True))
    scale = max(float(a.abs().max()) for a in reference)
    return absolute, absolute / scale if scale else absolute
