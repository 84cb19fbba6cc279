"""The equivalence audit: does gram-1s have the gradients of e2e on the run's model and data?"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from grambench.config.spec import Spec
from grambench.config.strategies import StrategyRow, row_of
from grambench.domains.prepared import Prepared
from grambench.domains.training import TrainSampler, make_sampler
from grambench.errors import ConfigError
from grambench.events.types import AuditFinished, Event
from grambench.training.encoder_check import check_encoder, require_equal
from grambench.training.phases import System
from grambench.training.protocols import Batch
from grambench.training.strategies import ENCODER_AND_FILTER, OneStep, factory_of, make_strategy
from grambench.training.strategies.e2e import EndToEnd
from grambench.training.strategies.single_step import SingleStep
from grambench.training.system import Modules, build_system

TOLERANCE = 1e-10
Gradients = dict[str, list[torch.Tensor]]
"""By module: `encoder` and `filter`."""
MAX_TOKENS = 8192
"""Maximum number of token positions of the audited batch; users are dropped until it fits."""


def audit(
    spec: Spec, data: Prepared, device: torch.device, emit: Callable[[Event], None] = lambda _: None
) -> AuditFinished:
    """Compare both gradients in float64 with dropout 0, using the strategies' own code.

    First the encoder's vectors are compared with those of the model itself, in fp32. The batch is the first
    one drawn with the audit's seed, cut to `MAX_TOKENS`; if none of its items repeats, every user is taken
    twice, so that encodings are shared.

    Plug-in strategies that claim the update of e2e are compared on the same batch.

    Args:
        spec: the specification, including the probe's choices.
        data: the prepared data.
        device: where the run trains.
        emit: receives the result of the encoder check.

    Raises:
        ConfigError: the encoder's vectors differ from the model's, a token has no embedding, or a plug-in
            strategy that claims the update of e2e cannot be compared with it.
    """
    began = time.monotonic_ns()
    plain = spec.encoder.model_copy(update={"dropout": 0.0, "compile": "off"})
    exact = spec.model_copy(update={"encoder": plain})
    system, modules = build_system(exact, data, device, seed=spec.audit.seed)
    drop_nothing(modules.filter)
    checked = check_encoder(system)
    if checked is not None:
        emit(checked)
        require_equal(checked, spec.encoder.model or "from scratch")
    modules.encoder.to(torch.float64)
    modules.filter.to(torch.float64)
    sampler = make_sampler(spec, data, device, seed=spec.audit.seed, batch_size=spec.audit.users, epochs=1)
    batch, note = _audited_batch(sampler, system)
    reference = _gradients(EndToEnd(system, batch.users), modules, batch)
    candidate = _gradients(SingleStep(system), modules, batch)
    differences = {name: _difference(reference[name], candidate[name]) for name in reference}
    worst = max(max(pair) for pair in differences.values())
    return AuditFinished(
        equivalent=worst <= TOLERANCE,
        tolerance=TOLERANCE,
        users=batch.users,
        occurrences=batch.occurrences().occurrences,
        unique_items=len(batch.unique().items_N),
        encoder_absolute=differences["encoder"][0],
        encoder_relative=differences["encoder"][1],
        filter_absolute=differences["filter"][0],
        filter_relative=differences["filter"][1],
        seconds=(time.monotonic_ns() - began) / 1e9,
        note=note,
        plugins=_audited_plugins(spec, system, modules, sampler, batch, reference),
    )


def _audited_plugins(
    spec: Spec,
    system: System,
    modules: Modules,
    sampler: TrainSampler,
    batch: Batch,
    reference: Gradients,
) -> list[dict[str, Any]]:
    """Compare plug-in strategies that claim the update of e2e with it."""
    results = []
    for row in (row_of(name) for name in spec.training.strategies):
        if not (row.package and row.claims_equality):
            continue
        candidate = _gradients(_claimed(row, spec, system, sampler, batch), modules, batch)
        pairs = {name: _difference(reference[name], candidate[name]) for name in reference}
        relative = {f"{name}_relative": pair[1] for name, pair in pairs.items()}
        equivalent = max(max(pair) for pair in pairs.values()) <= TOLERANCE
        results.append({"strategy": row.name, "package": row.package, "equivalent": equivalent, **relative})
    return results


def _claimed(row: StrategyRow, spec: Spec, system: System, sampler: TrainSampler, batch: Batch) -> OneStep:
    """A plug-in strategy on the audited system.

    Raises:
        ConfigError: it cannot be compared with e2e.
    """
    strategy = make_strategy(
        row.name,
        system,
        sampler,
        spec=spec,
        micro_batch=batch.users,
        encoder_chunk=None,
        seed=spec.audit.seed,
    )
    if factory_of(row).networks is ENCODER_AND_FILTER and isinstance(strategy, OneStep):
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
    taken = {}
    for name, module in (("encoder", modules.encoder), ("filter", modules.filter)):
        parameters = list(module.parameters())
        taken[name] = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
    return taken


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
