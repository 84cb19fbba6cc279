"""Whole trainings in this process, through the product's own loop: validation AUC over train seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared, open_prepared
from grambench.domains.training import TrainSampler, make_evaluator, make_sampler
from grambench.events import types as ev
from grambench.events.control import Ending
from grambench.models.attention import choose_attention
from grambench.models.encoders.states import CachedItemEncoder
from grambench.training.loop import Effects, Trainer
from grambench.training.phases import System
from grambench.training.protocols import Strategy
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, build_system
from grambench.worker.planning import use_graphs
from grambench.worker.prepare import prepare_data
from grambench.worker.turns import OwnTurn

CPU = torch.device("cpu")


def spec_of(preset: str, *overrides: str) -> Spec:
    """A preset with `--set` overrides."""
    return load_preset(preset, list(overrides))


def prepared(spec: Spec) -> Prepared:
    """The preset's data, generated and prepared in the cache on the first use."""
    return open_prepared(prepare_data(spec, lambda _event: None))


def sampler_of(spec: Spec, data: Prepared, device: torch.device = CPU, seed: int = 0) -> TrainSampler:
    """The train part's batches as a trial draws them."""
    return make_sampler(spec, data, device, seed=seed)


@dataclass(slots=True)
class Trial:
    """Everything that a strategy needs, freshly drawn from the seed."""

    spec: Spec
    data: Prepared
    system: System
    modules: Modules
    sampler: TrainSampler
    strategy: Strategy


def trial(
    name: str,
    spec: Spec,
    data: Prepared,
    *,
    device: torch.device = CPU,
    seed: int = 0,
    micro_batch: int | None = None,
    encoder_chunk: int | None = None,
    autocast: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Trial:
    """A strategy with its own modules; sizes of graphs as given, the whole batch by default."""
    choose_attention(device)
    system, modules = build_system(spec, data, device, seed=seed, autocast=autocast, dtype=dtype)
    use_graphs(spec, system, modules)
    sampler = sampler_of(spec, data, device, seed)
    strategy = make_strategy(
        name,
        system,
        sampler,
        spec=spec,
        micro_batch=micro_batch or spec.training.batch_size,
        encoder_chunk=encoder_chunk,
        seed=seed,
    )
    return Trial(spec, data, system, modules, sampler, strategy)


@dataclass(frozen=True, slots=True)
class Point:
    """A validation: training seconds before it, and its AUC."""

    train_s: float
    auc: float


class Until(OwnTurn):
    """The turn of a trial that nobody pauses; `ended` may end it."""

    def __init__(self, ended: Callable[[], bool]) -> None:
        super().__init__()
        self._ended = ended

    def ending(self) -> Ending | None:
        return "stopped" if self._ended() else None


def curve(
    name: str,
    spec: Spec,
    data: Prepared,
    *,
    seed: int = 0,
    until: Callable[[list[Point]], bool] = lambda _points: False,
    cpu_seconds: bool = False,
) -> tuple[list[Point], list[ev.Event]]:
    """Train to the end, early stopping or `until`; the validations and all events.

    `cpu_seconds`: count CPU seconds of this process in place of seconds.
    """
    made = trial(name, spec, data, seed=seed)
    evaluator = make_evaluator(spec, data, "validation", CPU)
    events: list[ev.Event] = []
    points: list[Point] = []
    untrained_s = 0.0

    def evaluate(part: Literal["validation", "test"]) -> ev.Evaluated:
        nonlocal untrained_s
        train_s = made.system.clock.read()[0]
        began_s = time.process_time()
        if cpu_seconds:
            train_s = began_s - untrained_s
        result = evaluator(made.system.encode, made.modules.filter)
        untrained_s += time.process_time() - began_s
        metrics = result.metrics
        points.append(Point(train_s, metrics["auc"] or 0.0))
        skipped, sampled = result.skipped, result.sampled
        return ev.Evaluated(part, 0, 0, 0.0, metrics, result.impressions, skipped, sampled, 0.0, False)

    made.strategy.warm_up(made.sampler.batch(0))
    if isinstance(made.system.encode, CachedItemEncoder):
        made.system.encode.states.forget()  # so that training computes them
    untrained_s = time.process_time()
    effects = Effects(
        emit=events.append,
        evaluate=evaluate,
        save_best=lambda _epoch, _step: True,
        turn=Until(lambda: until(points)),
        memory=lambda: (None, None, None),
    )
    Trainer(made.system, made.strategy, made.sampler, effects, spec.training.patience).run()
    return points, events


def best(points: list[Point]) -> Point:
    """The first of the highest validations."""
    return max(points, key=lambda point: point.auc)


def seconds_to(points: list[Point], auc: float) -> float | None:
    """Training seconds until the AUC was reached, on straight lines between validations; None: never.

    Before the first validation nothing is known, so that one counts as it stands.
    """
    for before, point in zip([None, *points[:-1]], points, strict=True):
        if point.auc >= auc:
            if before is None:
                return point.train_s
            share = (auc - before.auc) / (point.auc - before.auc)
            return before.train_s + share * (point.train_s - before.train_s)
    return None


def data_folder(name: str) -> Path:
    """Real rows beside the checkout (see CONTRIBUTING.md)."""
    return Path(__file__).resolve().parents[2] / "shared" / "data" / name
