"""One trial: load, plan, train, and score the selected checkpoint once on the test part."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from grambench.config.spec import Spec
from grambench.data.prepared import Prepared, open_prepared
from grambench.data.sampler import NewsSampler
from grambench.errors import DataError
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.events.state import SETUP
from grambench.training.checkpoint import load_weights, save_weights
from grambench.training.evaluate import RankingEvaluator
from grambench.training.loop import Effects, Trainer, Turn
from grambench.training.memory import GraphPlan, plan_graphs
from grambench.training.phases import Strategy, System
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, build_system
from grambench.worker.device import Device


def run_trial(
    spec: Spec, run: Path, name: str, device: Device, emit: Callable[[ev.Event], None], turn: Turn
) -> tuple[ev.Outcome, str]:
    """Train `<strategy>.s<seed>` and score it; returns how it ended and why.

    Raises:
        GrambenchError: data or model cannot be used.
    """
    strategy_name, _, seed = name.rpartition(".s")
    data = open_prepared(_prepared_folder(run))
    system, modules = build_system(spec, data, device.torch, seed=int(seed), autocast=device.autocast)
    sampler = _sampler(spec, data, int(seed), device.torch)
    evaluate = _evaluator(spec, data, system, modules, device.torch)

    turn.wait()
    emit(ev.PhaseEntered("probe"))
    plan = plan_graphs(system, sampler.batch(0), spec.training, device.torch)
    strategy = make_strategy(
        strategy_name,
        system,
        sampler,
        multi_step=spec.multi_step,
        micro_batch=plan.micro_batch,
        encoder_chunk=plan.encoder_chunk,
        seed=int(seed),
    )
    emit(_planned(spec, strategy_name, int(seed), sampler, strategy, plan, modules))
    strategy.warm_up(sampler.batch(0))
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


def _prepared_folder(run: Path) -> Path:
    """What the setup worker prepared, from its log."""
    for record in Follower(run / SETUP / "events.jsonl").read():
        if isinstance(record.event, ev.DataPrepared):
            return Path(record.event.folder)
    raise DataError("The setup of this run prepared no data.", "Start the run again.")


def _sampler(spec: Spec, data: Prepared, seed: int, device: torch.device) -> NewsSampler:
    return NewsSampler(
        data.parts["train"],
        seed=seed,
        batch_size=spec.training.batch_size,
        negatives=spec.training.negatives,
        history=spec.filter.history,
        epochs=spec.training.epochs,
        max_steps=spec.training.max_steps,
        device=device,
    )


def _evaluator(
    spec: Spec, data: Prepared, system: System, modules: Modules, device: torch.device
) -> Callable[[Literal["validation", "test"]], ev.Evaluated]:
    parts = {
        name: RankingEvaluator(
            data.parts[name],
            history=spec.filter.history,
            max_impressions=spec.evaluation.max_impressions,
            device=device,
        )
        for name in ("validation", "test")
    }

    def evaluate(part: Literal["validation", "test"]) -> ev.Evaluated:
        began = time.monotonic_ns()
        result = parts[part](system.encode, modules.filter)
        return ev.Evaluated(
            part=part,
            epoch=0,
            step=0,
            train_s=system.clock.read()[0],
            metrics=result.scores.means(),
            impressions=result.impressions,
            skipped=result.scores.skipped,
            sampled=result.sampled,
            seconds=(time.monotonic_ns() - began) / 1e9,
            best=part == "test",
        )

    return evaluate


def _planned(
    spec: Spec,
    name: str,
    seed: int,
    sampler: NewsSampler,
    strategy: Strategy,
    plan: GraphPlan,
    modules: Modules,
) -> ev.TrialPlanned:
    multi = name not in ("e2e", "e2e-unique", "gram-1s")
    return ev.TrialPlanned(
        strategy=name,
        seed=seed,
        steps_per_epoch=sampler.steps_per_epoch,
        max_steps=sampler.total_steps,
        batch_size=spec.training.batch_size,
        window_steps=strategy.window_steps,
        encoder_parameters=sum(p.numel() for p in modules.encoder.parameters()),
        filter_parameters=sum(p.numel() for p in modules.filter.parameters()),
        micro_batch=plan.micro_batch if name == "e2e" else None,
        encoder_chunk=plan.encoder_chunk if name == "gram-1s" else None,
        encoder_batch=spec.multi_step.encoder_batch if multi else None,
        encoder_revision=modules.encoder.revision,
        why=plan.why,
    )


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
