"""One trial: load, plan, train or resume, and score the selected checkpoint once on the test part."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary, row_of
from grambench.config.trial_name import TrialName
from grambench.config.trials import TrialEntry
from grambench.domains.evaluation import UserScores
from grambench.domains.prepared import Prepared, open_prepared
from grambench.domains.training import TrainSampler, make_evaluator, make_sampler
from grambench.errors import DataError, GrambenchError
from grambench.events import types as ev
from grambench.events.buffered_journal import disk_patience_s
from grambench.events.journal import Follower
from grambench.events.state import SETUP
from grambench.models.encoders.text import TextEncoder
from grambench.text import safe_text
from grambench.training.checkpoint import Checkpoints, load_weights, save_weights
from grambench.training.group import Group
from grambench.training.loop import Effects, LeftError, Trainer, Turn
from grambench.training.memory_plan import GraphPlan
from grambench.training.phases import System
from grambench.training.protocols import Strategy
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, Placement, build_system, placement
from grambench.worker import resume
from grambench.worker.device import Device
from grambench.worker.forecast import LEAST_S, MOST_S, OF_WARM_UP, Probe, used_bytes
from grambench.worker.frozen_states import open_states
from grambench.worker.integrity import DATA, FilesWatch, checks_of, require_inputs
from grambench.worker.kept_scores import keep_scores
from grambench.worker.planning import (
    compile_seconds,
    least,
    plan_sizes,
    planned,
    to_compile,
    use_graphs,
    word_warnings,
)
from grambench.worker.predict import PREDICTIONS, write_predictions
from grambench.worker.stops import StopDetector

_SCORED: tuple[Literal["validation", "test"], ...] = ("validation", "test")
Emit = Callable[[ev.Event], None]
_ROOM_S = 1.0
"""Seconds between two attempts to write to a full disk."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a worker trains, where, and where its events go."""

    spec: Spec
    """The run's specification."""
    run: Path
    """The run's folder."""
    name: TrialName
    device: Device
    """Where it trains."""
    emit: Emit
    """Takes its events."""
    turn: Turn
    """The turns that the runner grants."""
    again: bool = False
    """An earlier worker began it: resume from its newest checkpoint, if there is one."""
    engine: Spec | None = None
    """The specification with the choices of the run's probe."""
    stops: StopDetector | None = None
    """Detects stops of the process; None: stops are not detected."""
    no_room: Callable[[str], None] = lambda _: None
    """Tells the runner that the disk has been full for too long; it then ends the trial."""
    group: Group = field(default_factory=Group)
    """The ranks that train it together."""

    @property
    def entry(self) -> TrialEntry:
        """Its entry in the specification."""
        return self.spec.entry(self.name)

    @property
    def folder(self) -> Path:
        """Its folder in the run's."""
        return self.run / str(self.name)


def run_trial(trial: Trial) -> tuple[ev.Outcome, str]:
    """Train a trial and score it; returns how it ended and why.

    Raises:
        GrambenchError: data or model cannot be used, or the checkpoint belongs to something else.
    """
    vocabulary = row_of(trial.entry.strategy).vocabulary
    data = open_prepared(prepared_folder(trial.run, vocabulary))
    checks = checks_of(trial.run / SETUP)
    with FilesWatch(data, checks.get(f"{DATA}{vocabulary}"), trial.run.name) as watch:
        watch.require()
        return _run_trial(trial, data, checks, watch)


def _run_trial(
    trial: Trial, data: Prepared, checks: Mapping[str, ev.FilesChecked], watch: FilesWatch
) -> tuple[ev.Outcome, str]:
    """As `run_trial`, with the arrays mapped."""
    emit, turn, device = trial.emit, trial.turn, trial.device.torch
    identity = resume.identity(trial.spec, data.manifest.fingerprint, device)
    checkpoints = resume.folder_of(trial.run, str(trial.name))
    resumed, complaints = resume.newest(checkpoints, identity, trial.group)
    for complaint in complaints:
        emit(ev.Warned("damaged-checkpoint", complaint))
    loaded = _loaded(trial, data, checks)
    spec, system, modules = loaded.spec, loaded.system, loaded.modules

    def keep(scores: UserScores) -> None:
        keep_scores(trial.folder, scores, emit)

    evaluate = _evaluator(spec, data, system, modules, device, loaded.kept, turn, watch.require, keep)

    turn.wait()
    if ending := turn.ending():
        return ending, f"{ending} before training"

    def look() -> None:
        if turn.ending():
            raise LeftError

    try:
        cached_s = open_states(system, spec, data, trial.run, emit, look)
    except LeftError:
        return turn.ending() or "interrupted", "interrupted while states of frozen layers were computed"
    strategy, plan = loaded.warmed_up(resumed)
    training = _Training(trial, system, modules, strategy, plan, checkpoints, identity, watch)
    memory = _memory_reader(device)
    effects = Effects(emit, evaluate, training.save_best, turn, memory, training.save_state)
    patience, checkpoint_s = spec.training.patience, spec.training.checkpoint_s
    every, select_by = spec.evaluation.every, spec.evaluation.select_by
    trainer = Trainer(system, strategy, loaded.sampler, effects, patience, checkpoint_s, every, select_by)
    trainer.tally.begin_after(cached_s)
    if trial.again:
        training.resume(trainer, resumed)
    return training.finish(trainer, evaluate, resumed.trained if resumed else None, data)


def _loaded(trial: Trial, data: Prepared, checks: Mapping[str, ev.FilesChecked]) -> "_Loaded":
    """Build what the trial trains, and tell what is noteworthy about it."""
    device, strategy = trial.device, trial.entry.strategy
    spec = (trial.engine or trial.spec).with_own(trial.entry)
    system, modules = build_system(
        spec,
        data,
        device.torch,
        seed=trial.name.seed,
        strategy=strategy,
        autocast=device.autocast,
        group=trial.group,
    )
    base_bytes = used_bytes(device.torch)
    require_inputs(spec, row_of(strategy).vocabulary, checks)
    for warning in word_warnings(modules, system):
        trial.emit(warning)
    if trial.stops is not None:
        system.clock.stops, trial.stops.counted = trial.stops, system.clock.counted_s
    graphs = use_graphs(spec, system, modules)
    kept = placement(spec, data)
    sampler = make_sampler(spec, data, device.torch, seed=trial.name.seed, resident=kept.interactions)
    return _Loaded(trial, spec, system, modules, sampler, kept, graphs, base_bytes)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a trial has built before its turn."""

    trial: Trial
    spec: Spec
    """The run's settings with the trial's own."""
    system: System
    modules: Modules
    sampler: TrainSampler
    kept: Placement
    graphs: str
    """Which steps run as graphs, and why others do not."""
    base_bytes: int
    """Memory in use before the first call of a model."""

    def warmed_up(self, resumed: resume.Resumed | None) -> tuple[Strategy, GraphPlan]:
        """Compile, plan sizes, run the work of a step, and predict what the trial will cost."""
        trial, system, sampler = self.trial, self.system, self.sampler
        name, device = trial.entry.strategy, trial.device.torch
        trial.emit(ev.PhaseEntered("probe"))
        began_ns = time.monotonic_ns()
        compile_s = None
        if self.spec.encoder.compile != "off" and isinstance(self.modules.encoder, TextEncoder):
            compile_s = compile_seconds(system, to_compile(self.spec, name, sampler, system))
        sizing = self.spec.training.model_copy(update={"memory_share": _memory_share(self.spec)})
        plan = resumed.plan if resumed else plan_sizes(sizing, system, sampler.batch(0), device)
        plan = least(plan, trial.group)
        strategy = make_strategy(
            name,
            system,
            sampler,
            spec=self.spec,
            micro_batch=plan.micro_batch,
            encoder_chunk=plan.encoder_chunk,
            seed=trial.name.seed,
        )
        parts = sampler, strategy, plan, system, self.modules, self.kept, self.graphs
        trial.emit(planned(self.spec, trial.entry, trial.name, *parts))
        strategy.warm_up(trial.group.part(sampler.batch(0)))
        warmed_s = (time.monotonic_ns() - began_ns) / 1e9
        trial.emit(ev.WarmedUp(warmed_s, compile_s))
        if resumed is None:
            self._forecast(strategy, plan, warmed_s - (compile_s or 0.0))
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        return strategy, plan

    def _forecast(self, strategy: Strategy, plan: GraphPlan, warm_up_s: float) -> None:
        """Predict what the trial costs, within a share of its warm-up; several ranks are not predicted."""
        if self.trial.group.size > 1:
            return
        budget_s = min(MOST_S, max(LEAST_S, OF_WARM_UP * warm_up_s))
        name = self.trial.entry.strategy
        probe = Probe(self.spec, name, self.system, self.sampler, strategy, plan, self.base_bytes, budget_s)
        self.trial.emit(probe.forecast())


@dataclass(frozen=True, slots=True)
class _Training:
    """Everything whose state is saved in the trial's folder."""

    trial: Trial
    system: System
    modules: Modules
    strategy: Strategy
    plan: GraphPlan
    checkpoints: Checkpoints
    identity: dict[str, Any]
    watch: FilesWatch

    def resume(self, trainer: Trainer, resumed: resume.Resumed | None) -> None:
        """Restore a checkpoint, or start from scratch."""
        windows = 0
        if resumed is not None:
            if resumed.trained is None:
                resume.restore(resumed, self.system, self.modules, self.strategy)
            trainer.load_state_dict(resumed.numbers["loop"])
            windows = int(resumed.numbers["loop"]["tally"]["windows"])
        train_s = self.system.clock.read()[0]
        self.trial.emit(ev.TrialResumed(trainer.tally.totals.steps, train_s, windows))

    def finish(
        self,
        trainer: Trainer,
        evaluate: Callable[[Literal["validation", "test"]], ev.Evaluated],
        trained: tuple[ev.Outcome, str] | None,
        data: Prepared,
    ) -> tuple[ev.Outcome, str]:
        """Train, unless that was done before, and score the best weights on the test part, if it is read."""
        outcome, reason = trained or trainer.run()
        if self.system.fixed.trouble:  # its steps were plain from there on
            words = f"CUDA graphs could not be captured, and steps were plain: {self.system.fixed.trouble}"
            self.trial.emit(ev.Warned("no-graphs", words))
        scores = self.trial.spec.evaluation.test and outcome in ("completed", "early-stopped")
        if scores and trainer.best is not None:
            self._write(trainer.state_dict(), {}, {"trained": [outcome, reason], "strategy": {}})
            self.trial.emit(ev.PhaseEntered("test"))
            self.modules.load_state_dict(load_weights(self.trial.folder / "best"))
            chosen = trainer.best
            try:
                scored = evaluate("test")
                self.trial.emit(replace(scored, epoch=chosen.epoch, step=chosen.step, train_s=chosen.train_s))
                self._predict(data)
            except LeftError:
                return "interrupted", "interrupted while the test part was scored"
        return outcome, reason

    def _predict(self, data: Prepared) -> None:
        """Write predictions if they are asked for; a fault costs them, not the trial."""
        spec = (self.trial.engine or self.trial.spec).with_own(self.trial.entry)
        if not spec.data.predictions or not self.trial.group.leads:
            return
        into = self.trial.folder / PREDICTIONS
        try:
            device = self.trial.device.torch
            for written in write_predictions(spec, data, self.system, self.modules, device, into, self._look):
                self.trial.emit(written)
        except (GrambenchError, OSError) as error:
            words = f"predictions could not be written: {safe_text(error, 400)}"
            self.trial.emit(ev.Warned("no-predictions", words))

    def _look(self) -> None:
        if self.trial.turn.ending():
            raise LeftError

    def save_best(self, epoch: int, step: int) -> bool:
        """Save the weights that validation has selected; waits while the disk is full.

        False: the trial is to end before there was space.
        """
        began, patience_s = time.monotonic_ns(), disk_patience_s()
        best, written, is_told = self.trial.folder / "best", None, False
        while True:
            try:
                if self.trial.group.leads:
                    written = save_weights(best, self.modules.state_dict(), {"epoch": epoch, "step": step})
            except OSError as error:
                words = f"the best weights cannot be written: {error.strerror or error}"
                if not is_told:
                    self.trial.emit(ev.Warned("disk-full", f"{words}; waiting"))
                    is_told = True
                if time.monotonic_ns() - began > patience_s * 1e9:
                    self.trial.no_room(words)
            (done,) = self.trial.turn.agree(written is not None)
            if done:
                break
            if self.trial.turn.ending():
                return False
            time.sleep(_ROOM_S)
        if written is not None:
            seconds = (time.monotonic_ns() - began) / 1e9
            size, digest = written.bytes, written.sha256
            self.trial.emit(ev.CheckpointSaved(best.name, epoch, step, size, digest, seconds))
        return True

    def save_state(self, loop: dict[str, Any]) -> bool:
        """Write everything that the next step depends on; False if the disk does not take it."""
        tensors, numbers = resume.collect(self.system, self.modules, self.strategy)
        return self._write(loop, tensors, {"strategy": numbers})

    def _write(self, loop: dict[str, Any], tensors: dict[str, torch.Tensor], extra: dict[str, Any]) -> bool:
        self.watch.require()  # a checkpoint depends on the arrays that its trial has read
        kept = self.trial.group.leads and self._written(loop, tensors, extra)
        return self.trial.turn.agree(kept)[0]

    def _written(self, loop: dict[str, Any], tensors: dict[str, torch.Tensor], extra: dict[str, Any]) -> bool:
        began = time.monotonic_ns()
        step = int(loop["tally"]["totals"]["steps"])
        numbers = {"loop": loop, "plan": dataclasses.asdict(self.plan), **extra}
        try:
            place, written = self.checkpoints.save(step, tensors, numbers, self.identity)
        except OSError as error:
            words = f"no checkpoint could be written at step {step}: {error.strerror or error}"
            self.trial.emit(ev.Warned("checkpoint-failed", words))
            return False
        seconds = (time.monotonic_ns() - began) / 1e9
        name = str(place.relative_to(self.trial.folder))
        self.trial.emit(ev.CheckpointSaved(name, 0, step, written.bytes, written.sha256, seconds))
        return True


def _memory_share(spec: Spec) -> float:
    """Racing trials share the free memory."""
    racers = len(spec.entries) + spec.null_test if spec.schedule == "race" else 1
    return spec.training.memory_share / racers


def prepared_folder(run: Path, vocabulary: Vocabulary) -> Path:
    """The folder prepared by the newest setup worker, from its log: an earlier one's cache may be gone."""
    log = Follower(run / SETUP / "events.jsonl")
    events = [record.event for record in log.read()]
    for event in reversed(events):
        if isinstance(event, ev.DataPrepared) and event.vocabulary == vocabulary:
            return Path(event.folder)
    if complaints := log.check.complaints("the setup's log", ended=True):
        raise DataError(f"The prepared data cannot be found: {complaints[0]}.", "Resume the run.")
    raise DataError("The setup of this run prepared no data.", "Start the run again.")


def _evaluator(
    spec: Spec,
    data: Prepared,
    system: System,
    modules: Modules,
    device: torch.device,
    kept: Placement,
    turn: Turn,
    require: Callable[[], None],
    keep: Callable[[UserScores], None],
) -> Callable[[Literal["validation", "test"]], ev.Evaluated]:
    def look() -> None:
        turn.agree()  # on all ranks before the same blocks, so that all leave together
        if turn.ending():
            raise LeftError

    group = system.group
    scored = {id(data.parts[name]): name for name in _SCORED}  # the same part under the paper's protocol
    made = {
        part: make_evaluator(spec, data, name, device, kept.interactions, look, group)
        for part, name in scored.items()
    }
    parts = {name: made[id(data.parts[name])] for name in _SCORED}

    def evaluate(part: Literal["validation", "test"]) -> ev.Evaluated:
        began = time.monotonic_ns()
        result = parts[part](system.served or system.encode, modules.filter)
        by_user = result.by_user() if part == "test" and group.leads else None
        require()
        if by_user is not None:
            keep(by_user)
        return ev.Evaluated(
            part=part,
            epoch=0,
            step=0,
            train_s=system.clock.read()[0],
            metrics=group.told(result.metrics),
            impressions=result.impressions,
            skipped=result.skipped,
            sampled=result.sampled,
            seconds=(time.monotonic_ns() - began) / 1e9,
            best=part == "test",
        )

    return evaluate


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
