"""One trial: load, plan, train, and score the selected checkpoint once on the test part."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from grambench.config.spec import LM_KT, Spec, Vocabulary, vocabulary_of
from grambench.data.prepared import Prepared, open_prepared
from grambench.errors import DataError, MachineError
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.events.state import SETUP
from grambench.models.encoders.free import FreeItemEncoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.filters.lm_kt import LMKT
from grambench.training.checkpoint import load_weights, save_weights
from grambench.training.domain import TrainSampler, make_evaluator, make_sampler
from grambench.training.loop import Effects, Trainer, Turn
from grambench.training.memory import GraphPlan, plan_graphs, plan_users
from grambench.training.phases import Batch, Strategy, System, encode, rehearsal
from grambench.training.strategies import MultiStep, make_strategy
from grambench.training.system import Modules, Residency, build_system, residency
from grambench.worker.device import Device

_SCORED: tuple[Literal["validation", "test"], ...] = ("validation", "test")
COMPILED_ITEMS = 64
"""Items encoded once to compile the encoder; its graph serves every number of items."""


def run_trial(
    spec: Spec, run: Path, name: str, device: Device, emit: Callable[[ev.Event], None], turn: Turn
) -> tuple[ev.Outcome, str]:
    """Train `<strategy>.s<seed>` and score it; returns how it ended and why.

    Raises:
        GrambenchError: data or model cannot be used.
    """
    strategy_name, _, seed = name.rpartition(".s")
    data = open_prepared(_prepared_folder(run, vocabulary_of(strategy_name)))
    system, modules = build_system(
        spec, data, device.torch, seed=int(seed), strategy=strategy_name, autocast=device.autocast
    )
    kept = residency(spec, data)
    sampler = make_sampler(spec, data, device.torch, seed=int(seed), resident=kept.interactions)
    evaluate = _evaluator(spec, data, system, modules, device.torch, kept)

    turn.wait()
    emit(ev.PhaseEntered("probe"))
    began_ns = time.monotonic_ns()
    can_compile = spec.encoder.compile != "off" and isinstance(modules.encoder, TextEncoder)
    compile_s = _compiled(system, sampler.batch(0)) if can_compile else None
    plan = _plan(spec, system, sampler.batch(0), device.torch)
    strategy = make_strategy(
        strategy_name,
        system,
        sampler,
        multi_step=spec.multi_step,
        micro_batch=plan.micro_batch,
        encoder_chunk=plan.encoder_chunk,
        seed=int(seed),
        speedyfeed=spec.speedyfeed,
    )
    emit(_planned(spec, strategy_name, int(seed), sampler, strategy, plan, system, modules, kept))
    strategy.warm_up(sampler.batch(0))
    emit(ev.WarmedUp((time.monotonic_ns() - began_ns) / 1e9, compile_s))
    if device.torch.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device.torch)

    best = run / name / "best"
    effects = Effects(emit, evaluate, _saver(best, modules, emit), turn, _memory_reader(device.torch))
    trainer = Trainer(system, strategy, sampler, effects, spec.training.patience)
    outcome, reason = trainer.run()
    if outcome in ("completed", "early-stopped") and trainer.best is not None:
        emit(ev.PhaseEntered("test"))
        modules.load(load_weights(best))
        chosen = trainer.best
        scored = evaluate("test")
        emit(replace(scored, epoch=chosen.epoch, step=chosen.step, train_s=chosen.train_s))
    return outcome, reason


def _plan(spec: Spec, system: System, batch: Batch, device: torch.device) -> GraphPlan:
    if isinstance(system.filter, LMKT):
        return plan_users(system, batch, spec.training, device, system.filter.limits())
    if isinstance(system.encode, FreeItemEncoder):
        return GraphPlan(spec.training.batch_size, None, "no encoder runs")
    return plan_graphs(system, batch, spec.training, device)


def _prepared_folder(run: Path, vocabulary: Vocabulary) -> Path:
    """What the setup worker prepared, from its log."""
    for record in Follower(run / SETUP / "events.jsonl").read():
        if isinstance(record.event, ev.DataPrepared) and record.event.vocabulary == vocabulary:
            return Path(record.event.folder)
    raise DataError("The setup of this run prepared no data.", "Start the run again.")


def _evaluator(
    spec: Spec, data: Prepared, system: System, modules: Modules, device: torch.device, kept: Residency
) -> Callable[[Literal["validation", "test"]], ev.Evaluated]:
    parts = {name: make_evaluator(spec, data, name, device, kept.interactions) for name in _SCORED}

    def evaluate(part: Literal["validation", "test"]) -> ev.Evaluated:
        began = time.monotonic_ns()
        result = parts[part](system.served or system.encode, modules.filter)
        return ev.Evaluated(
            part=part,
            epoch=0,
            step=0,
            train_s=system.clock.read()[0],
            metrics=result.metrics,
            impressions=result.impressions,
            skipped=result.skipped,
            sampled=result.sampled,
            seconds=(time.monotonic_ns() - began) / 1e9,
            best=part == "test",
        )

    return evaluate


def _planned(
    spec: Spec,
    name: str,
    seed: int,
    sampler: TrainSampler,
    strategy: Strategy,
    plan: GraphPlan,
    system: System,
    modules: Modules,
    kept: Residency,
) -> ev.TrialPlanned:
    multi = isinstance(strategy, MultiStep)
    return ev.TrialPlanned(
        strategy=name,
        seed=seed,
        steps_per_epoch=sampler.steps_per_epoch,
        max_steps=sampler.total_steps,
        batch_size=spec.training.batch_size,
        window_steps=strategy.window_steps,
        encoder_parameters=sum(p.numel() for p in modules.encoder.parameters()),
        filter_parameters=sum(p.numel() for p in modules.filter.parameters()),
        micro_batch=plan.micro_batch if name in ("e2e", LM_KT) else None,
        encoder_chunk=plan.encoder_chunk if multi or name == "gram-1s" else None,
        encoder_batch=spec.multi_step.encoder_batch if multi else None,
        encoder_revision=modules.encoder.revision,
        bucket_tokens=system.encode.bucket_tokens,
        tokens_on_device=kept.tokens,
        interactions_on_device=kept.interactions,
        why=plan.why,
    )


def _compiled(system: System, batch: Batch) -> float:
    """Compile the encoder, with a graph and without; seconds that the first calls took more than later ones.

    Raises:
        MachineError: torch.compile does not work here.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second of imports

    items_N = batch.unique().host_items_N[:COMPILED_ITEMS]

    def calls() -> float:
        began_ns = time.monotonic_ns()
        with rehearsal(system):
            encode(system, items_N).sum().backward()
            with torch.no_grad():
                encode(system, items_N)
        system.clock.read()  # waits for the device
        return (time.monotonic_ns() - began_ns) / 1e9

    try:
        return max(0.0, calls() - calls())
    except TorchDynamoException as error:
        raise MachineError(
            f"torch.compile failed: {str(error).strip().splitlines()[0]}.",
            "Install a C++ compiler (on a GPU also Triton), or use --set encoder.compile=off.",
        ) from error


def _saver(best: Path, modules: Modules, emit: Callable[[ev.Event], None]) -> Callable[[int, int], None]:
    def save(epoch: int, step: int) -> None:
        began = time.monotonic_ns()
        size, digest = save_weights(best, modules.state(), {"epoch": epoch, "step": step})
        seconds = (time.monotonic_ns() - began) / 1e9
        emit(ev.CheckpointSaved(best.name, epoch, step, size, digest, seconds))

    return save


def _memory_reader(device: torch.device) -> Callable[[], tuple[int | None, int | None, int | None]]:
    def read() -> tuple[int | None, int | None, int | None]:
        if device.type != "cuda":
            return None, None, None
        return (
            torch.cuda.memory_allocated(device),
            torch.cuda.max_memory_allocated(device),
            torch.cuda.max_memory_reserved(device),
        )

    return read
