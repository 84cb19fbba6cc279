"""The run specification: strict tables, each field with its unit and meaning.

A preset is a TOML file with these tables; `grambench presets NAME` prints the resolved values beside
the descriptions below. An unknown key is an error that names the nearest known one
(`grambench.config.presets`).
"""

import re
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from grambench.config.baselines import CRCF, LanguageModel, NoContent, NoFinetune, SpeedyFeed, Words
from grambench.config.data import Data
from grambench.config.filters import filter_heads, filter_kind, filter_kinds, whole_batch_setting
from grambench.config.networks import Encoder, Filter
from grambench.config.optimizer import Optimizer
from grambench.config.ranks import Ranks
from grambench.config.reads import is_read
from grambench.config.seeds import seeds_of
from grambench.config.strategies import adapts, builtin_row, row_of
from grambench.config.table import Positive, Rate, Share, Table
from grambench.config.trial_name import TrialName
from grambench.config.trials import (
    MAY_DIFFER,
    TrialEntry,
    own_tables,
    require_distinct,
    require_read,
    require_settings,
    why_not_own,
)
from grambench.config.tune import Tune
from grambench.errors import ConfigError
from grambench.metrics.catalogue import SELECTS, metric, selecting

EVERY_PATTERN = re.compile(r"^(?:([1-9]\d*)s|(\d+(?:\.\d+)?|\.\d+)e)\Z", re.ASCII)
"""`evaluation.every`: CF steps, or a share of an epoch."""
_DEVICE = re.compile(r"(?:cpu|cuda(?::\d+)?)\Z", re.ASCII)
_DROPOUT_OF_RANKS = {"filter.lstm.masks": "counter", "encoder.dropout": 0, "words.dropout": 0}
"""What several ranks need where it is read: none could draw its share of what torch's generator draws."""
FEWEST_LOOKED_AT, MOST_LOOKED_AT = 6, 30
"""`training.until_decided`: for so many seeds there is a level of each look (`analysis/paired.py`)."""


class MultiStep(Table):
    """Multi-step GRAM: how the item table moves and how the encoder follows."""

    update: Literal["walk", "frozen"] = "walk"
    """`walk`: the filter sees the moved rows at once; `frozen`: gradients are summed at fixed vectors."""
    table_optimizer: Literal["auto", "adagrad", "sgd", "relative"] = "auto"
    """Row-wise Adagrad, SGD on the summed loss (as the paper writes it), or `relative`: Adagrad whose steps
    are shares of the spread of the items' vectors. `auto`: `relative` for `gram-auto`, else `adagrad`."""
    table_lr: Rate = 0.1
    """Step size of `adagrad` and `sgd`; the paper's SGD has 1."""
    relative_lr: Rate = 1.0
    """Step size of `relative`: a row's first step is at most this share of the items' spread."""
    encoder_batch: Positive = 64
    """Items in one encoder step when a window closes."""
    encoder_passes: Positive = 1
    """Passes over the window's items when it closes."""


class GramAuto(Table):
    """When `gram-auto` closes a window."""

    measure: Literal["spread", "norm"] = "spread"
    """The drift is the mean ‖h̃ − h‖ of the window's items over the mean of their ‖h − h̄‖ (`spread`), or the
    mean ‖h̃ − h‖ / ‖h‖ (`norm`: the rule of version 0.1, at .4)."""
    drift: Rate = 1.0
    """A window closes when its drift reaches this."""
    floor: Positive = 8
    """CF steps of the shortest window, and between two measurements of the drift."""
    ceiling: Positive | None = None
    """CF steps of the longest window; unset, and at most: an epoch."""


class Training(Table):
    """The loop that all strategies share."""

    strategies: tuple[str, ...] = ("e2e", "gram-1s", "gram-1e")
    """e2e, e2e-gc, e2e-unique, e2e-cand, gram-<N>s (windows of N steps), gram-<x>e (of x epochs), gram-auto
    (windows closed by drift: no length to choose, and not faster than the best length), and the baselines.
    Of a preset with `[[trials]]`, such as modern, also their labels (lora-1s)."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = (0,)
    """One trial per strategy and seed; as text also ranges with both ends, `0..5,9`."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often each trial runs, in a fresh process with the same seed: processes differ in speed."""
    order: Literal["turned", "same"] = "turned"
    """Of the trials of a seed: `turned` reverses it from one seed (and repeat) to the next, so that a machine
    that gets slower or faster favours nobody; `same` is that of version 0.1."""
    until_decided: Annotated[int, Field(ge=FEWEST_LOOKED_AT, le=MOST_LOOKED_AT)] | None = None
    """Maximum seeds, from 0 on: after each one from the 6th on the test scores are compared with those of
    e2e, and the run ends when every comparison is decided; unset: all `seeds` run."""
    decide: str | None = None
    """`until_decided` waits for the comparison of this trial alone; unset: for all."""
    epochs: Positive = 10
    """Maximum number of passes over the train samples."""
    max_steps: Positive | None = None
    """Maximum number of CF steps of a trial; unset: no bound but `epochs`."""
    batch_size: Positive = 256
    """Users (training samples) in a batch."""
    negatives: Positive = 4
    """Unclicked candidates beside each clicked one."""
    patience: Positive = 10
    """Epochs without a better validation score before the trial stops, however often one is validated."""
    micro_batch: Positive | Literal["auto"] = "auto"
    """E2E: users whose graph is held at once; `auto`: the most that fits. The step stays the batch's."""
    encoder_chunk: Positive | Literal["auto", "off"] = "auto"
    """Single-step: items a chunk of exact recomputation; `auto`: only if one graph does not fit."""
    free_rows: Literal["auto", "dense", "touched"] = "auto"
    """Rows of the free item vectors (`nocontent`, CRCF) that a step of Adam updates: all (`dense`), or those
    of the batch's items (`touched`; the moments of the others do not decay). `auto`: dense up to 2**24
    numbers (rows x width), touched above."""
    checkpoint_s: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between checkpoints, from which an interrupted trial resumes; saving is not training time."""
    memory_share: Share = 0.6
    """Share of the free device (CPU: host) memory that `auto` may plan for."""

    @field_validator("strategies")
    @classmethod
    def _known_strategies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("name at least one strategy")
        for name in names:
            row_of(name)
        if len(set(names)) != len(names):
            raise ValueError("a strategy is named twice")
        return names

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_in_words(cls, seeds: Any) -> Any:
        if isinstance(seeds, str):
            return seeds_of(seeds)
        return tuple(seeds) if isinstance(seeds, list) else seeds  # JSON's, which strict mode refuses here

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError("give at least one seed, each once")
        return seeds

    @model_validator(mode="after")
    def _looks_choose_the_seeds(self) -> "Training":
        if self.until_decided is None:
            if self.decide is not None:
                raise ValueError(
                    "training.decide is read only with training.until_decided; set both, or neither"
                )
            return self
        seeds = tuple(range(self.until_decided))
        if "seeds" in self.model_fields_set and self.seeds != seeds:
            raise ValueError(
                f"training.until_decided = {self.until_decided} runs the seeds 0..{seeds[-1]};"
                " leave training.seeds out"
            )
        object.__setattr__(self, "seeds", seeds)
        return self


class Engine(Table):
    """How the training core runs on the device: what changes here changes seconds, never the update."""

    graphs: Literal["auto", "off", "on"] = "auto"
    """`on`: the filter's step, and the encoder's steps at a window's end, have fixed shapes and are replayed
    as CUDA graphs (on a CPU they run as they are). `auto`: on with CUDA, off on a CPU."""
    attention: Literal["auto", "efficient", "math"] = "auto"
    """Attention on CUDA: torch's memory-efficient kernels or plain matrix products; `auto` lets the probe
    before the run choose. cuDNN's is never used: it plans anew for every shape."""
    probe_s: Annotated[float, Field(ge=0, le=600)] = 20.0
    """Maximum seconds of the probe before the run, where there is something to choose; its choice holds for
    all trials of the run, for the audit and after a resume."""


class Evaluation(Table):
    """Scoring of the validation and test parts."""

    every: str = "1e"
    """How often the validation part is scored within an epoch, whose end is always scored: `0.25e` at every
    quarter of it, `200s` at every 200th of its CF steps. Multi-step strategies are scored when their window
    closes, at the earliest."""
    max_impressions: Positive | None = None
    """Score a fixed sample of so many impressions of each part (marked in the report); unset: all."""
    select_by: str = SELECTS
    """The metric of the validation part that selects the checkpoint, ends a trial early and is the target:
    auc, mrr, ndcg@5, ndcg@10 (news), csauc (knowledge tracing with cold items)."""
    target_auc: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Seconds to this validation AUC (or score by `select_by`) are reported; unset: the median over seeds
    of the best of e2e, less `margin_auc`."""
    margin_auc: Share = 0.002
    """Differences of the test AUC (or score by `select_by`) below this do not matter: surely not lower by so
    much is "as good"."""
    test: bool = True
    """Score the test part once, with the selected checkpoint; `grambench tune` does not, so that nothing is
    selected by it."""

    @field_validator("every")
    @classmethod
    def _known_period(cls, every: str) -> str:
        share = EVERY_PATTERN.match(every)
        if share is None or (share[2] and not 0 < float(share[2]) <= 1):
            raise ValueError(
                f"{every!r} is neither a share of an epoch, at most 1e, such as 0.5e,"
                " nor a number of CF steps such as 200s"
            )
        return every


class Audit(Table):
    """Equivalence audit in float64 before training."""

    users: Positive = 16
    """Users of the audited batch."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the audited batch and weights."""


class Spec(Table):
    """One resolved run."""

    name: str = "unnamed"
    """Short name, used for the run's folder."""
    description: str = ""
    """One line for `grambench presets`."""
    schedule: Literal["sequential", "race", "parallel"] = "sequential"
    """How trials share the devices: one after the other; in short turns on one device, so that all of a seed
    (and repeat) advance together; or one a device."""
    turn_s: Annotated[float, Field(ge=0.1, allow_inf_nan=False)] = 3.0
    """Race: training seconds of a turn."""
    null_test: bool = False
    """Train the first strategy twice: how much the two differ is what noise alone can do."""
    hang_s: Annotated[float, Field(ge=1)] = 600.0
    """A worker that has a turn and sends no heartbeat for so many seconds is killed; one that is stopped
    from outside (SIGSTOP) is waited for."""
    device: str = "auto"
    """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:N`; for `parallel` or ranks several,
    `cuda:0,cuda:1`."""
    cpu_threads: Positive | None = None
    """Threads of a worker; unset: one per physical core that no other work keeps busy when the run begins."""
    ranks: Ranks = Ranks()
    data: Data = Data()
    encoder: Encoder = Encoder(model="nreimers/TinyBERT_L-6_H-768_v2")
    filter: Filter = Filter()
    encoder_optimizer: Optimizer = Optimizer(schedule="noam", warmup_steps=40)
    filter_optimizer: Optimizer = Optimizer(schedule="noam", warmup_steps=4000)
    multi_step: MultiStep = MultiStep()
    gram_auto: GramAuto = GramAuto()
    words: Words = Words()
    language_model: LanguageModel = LanguageModel(model="openai-community/gpt2")
    speedyfeed: SpeedyFeed = SpeedyFeed()
    crcf: CRCF = CRCF()
    nocontent: NoContent = NoContent()
    nofinetune: NoFinetune = NoFinetune()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    audit: Audit = Audit()
    engine: Engine = Engine()
    tune: Tune = Tune()
    trials: tuple[TrialEntry, ...] = ()
    """`[[trials]]` in place of `training.strategies`: each with a label, a strategy, and settings in place of
    the run's."""

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if device != "auto" and not all(map(_DEVICE.match, device.split(","))):
            raise ValueError(
                f"unknown device {device!r}: write auto, cpu, cuda or cuda:0, or several as cuda:0,cuda:1"
            )
        return device

    @field_validator("tune")
    @classmethod
    def _tunes_what_may_differ(cls, tune: Tune, info: ValidationInfo) -> Tune:
        if MAY_DIFFER.keys() <= info.data.keys():  # else another error is told
            for key in tune.space:
                if words := why_not_own(key, cls, info.data):
                    raise ValueError(words)
        return tune

    @field_validator("trials")
    @classmethod
    def _known_trials(cls, trials: tuple[TrialEntry, ...], info: ValidationInfo) -> tuple[TrialEntry, ...]:
        for trial in trials:
            row_of(trial.strategy)
            if trial.label != trial.strategy and builtin_row(trial.label) is not None:
                raise ValueError(
                    f"the label {trial.label!r} of a trial of {trial.strategy} is the name of another"
                    " strategy; choose another label"
                )
            if info.data.keys() >= cls.model_fields.keys() - {info.field_name}:  # else another error is told
                require_settings(trial, cls, info.data)
                require_read(trial, cls.model_construct(**info.data).with_own(trial))
        require_distinct(trials)
        return trials

    @model_validator(mode="after")
    def _strategies_are_the_trials(self) -> "Spec":
        if self.trials:
            names = tuple(dict.fromkeys(trial.strategy for trial in self.trials))
            object.__setattr__(self, "training", self.training.model_copy(update={"strategies": names}))
        return self

    @model_validator(mode="after")
    def _strategies_fit_domain(self) -> "Spec":
        if self.data.domain != "news" and self.data.protocol == "paper":
            raise ValueError(f"data.protocol = paper is for news: {self.data.domain} has no published part")
        for name in self.training.strategies:
            domains = row_of(name).domains
            if domains and self.data.domain not in domains:
                words = f"{name} is a system for {' and '.join(domains)}"
                raise ValueError(f"{words}, but the data is {self.data.domain}")
        return self

    @model_validator(mode="after")
    def _selected_by_a_metric_of_the_domain(self) -> "Spec":
        name, known = self.evaluation.select_by, selecting(self.data.domain)
        if name not in known:
            raise ValueError(
                f"evaluation.select_by = {name} cannot select checkpoints for {self.data.domain}:"
                f" use {', '.join(known)}"
            )
        if metric(name).needs_cold_items and not self.data.cold_items:
            raise ValueError(f"evaluation.select_by = {name} needs cold items: set data.cold_items above 0")
        return self

    @model_validator(mode="after")
    def _adapts_what_is_trained(self) -> "Spec":
        for name in () if self.trials or self.encoder.adapt == "full" else self.training.strategies:
            if not adapts(row_of(name)):
                raise ValueError(
                    f"{name} does not read encoder.adapt = {self.encoder.adapt}: name other strategies, or"
                    " set it for the trials that do, as --trial 'lora: gram-1s, encoder.adapt=lora'"
                )
        return self

    @model_validator(mode="after")
    def _compiles_a_whole_encoder(self) -> "Spec":
        for entry in self.entries:
            encoder = self.with_own(entry).encoder
            if encoder.compile != "off" and encoder.keeps_states:
                raise ValueError(
                    f"encoder.compile = {encoder.compile} compiles the whole encoder, but {entry.label} runs"
                    " a part of it on cached states: set encoder.cache = off, or do not compile"
                )
        return self

    @model_validator(mode="after")
    def _decides_something(self) -> "Spec":
        if self.training.until_decided is None:
            return self
        reference, decide = self.reference, self.training.decide
        others = [entry.label for entry in self.entries if entry.label != reference]
        if reference is None or not others:
            raise ValueError(
                "training.until_decided compares with e2e: run e2e and at least one other strategy"
            )
        if decide is not None and decide not in others:
            raise ValueError(
                f"training.decide = {decide} is not compared with {reference}: name {' or '.join(others)}"
            )
        return self

    @model_validator(mode="after")
    def _devices_fit_schedule(self) -> "Spec":
        nproc, number = self.ranks.nproc, len(self.devices)
        if nproc > 1 and number == 1 and ":" in self.device:
            raise ValueError(f"{nproc} ranks need as many devices, not {self.device} alone")
        if nproc > 1 and number > 1 and number % nproc:
            raise ValueError(f"{number} devices cannot be shared by trials of {nproc} ranks: {self.device}")
        if len(self.places) > 1 and self.schedule != "parallel":
            one = "one device" if nproc == 1 else f"{nproc} devices"
            raise ValueError(f"schedule = {self.schedule} uses {one}, not {self.device}")
        if len(self.places) > 1 and self.ranks.nnodes > 1:
            raise ValueError(f"on several nodes one trial is trained at a time, not {len(self.places)}")
        return self

    @model_validator(mode="after")
    def _strategies_are_ready_for_ranks(self) -> "Spec":
        alone = [name for name in self.training.strategies if not row_of(name).ranks]
        if self.ranks.size > 1 and alone:
            raise ValueError(
                f"several ranks cannot train {', '.join(alone)}: name other strategies, or use one rank"
            )
        return self

    @model_validator(mode="after")
    def _dropout_is_the_same_on_all_ranks(self) -> "Spec":
        if self.ranks.size == 1:
            return self
        for key, needed in _DROPOUT_OF_RANKS.items():
            if attrgetter(key)(self) != needed and is_read(self, key):
                raise ValueError(
                    f"{self.ranks.size} ranks would draw other dropout masks than one process:"
                    f" use {key} = {needed}, or ranks.nproc = 1"
                )
        return self

    @property
    def entries(self) -> tuple[TrialEntry, ...]:
        """What is trained with each seed, in running order: `trials`, else one entry per strategy."""
        return self.trials or tuple(TrialEntry(strategy=name) for name in self.training.strategies)

    @property
    def reference(self) -> str | None:
        """The label that the others are compared with: e2e, else its first; None: e2e is not trained."""
        labels = [entry.label for entry in self.entries if entry.strategy == "e2e"]
        return "e2e" if "e2e" in labels else next(iter(labels), None)

    def entry(self, trial: TrialName) -> TrialEntry:
        """What a trial trains; a null test trains what it repeats.

        Raises:
            ConfigError: the run has no such trial.
        """
        label = trial.repeated.label
        found = next((entry for entry in self.entries if entry.label == label), None)
        if found is None:
            raise ConfigError(f"The run has no trial {trial}.", "Its run.json names the trials.")
        return found

    def with_own(self, entry: TrialEntry) -> "Spec":
        """The specification with a trial's own settings in place of the run's.

        A strategy that does not train the specified encoder has none of it adapted.
        """
        tables = own_tables(entry, {name: getattr(self, name) for name in MAY_DIFFER})
        encoder = tables.get("encoder", self.encoder)
        assert isinstance(encoder, Encoder)
        if encoder.adapt != "full" and not adapts(row_of(entry.strategy)):
            tables["encoder"] = encoder.model_copy(update={"adapt": "full"})
        return self.model_copy(update=tables)

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices of the run, at least one."""
        return tuple(self.device.split(","))

    @property
    def places(self) -> tuple[str, ...]:
        """Where trials are trained at the same time: a device, or as many as a trial has ranks."""
        devices, size = self.devices, self.ranks.nproc
        if len(devices) == 1:
            return devices
        return tuple(",".join(devices[first : first + size]) for first in range(0, len(devices), size))

    @model_validator(mode="after")
    def _filter_of_the_domain(self) -> "Spec":
        kind, known = self.filter.kind, filter_kinds(self.data.domain)
        if kind not in ("auto", *known):
            raise ValueError(
                f"filter.kind = {kind} is not a filter for {self.data.domain}:"
                f" use {', '.join(('auto', *known))}"
            )
        return self

    @model_validator(mode="after")
    def _filter_fits_encoder(self) -> "Spec":
        architecture, heads = self.encoder.architecture, filter_heads(self)
        if architecture is not None and architecture.hidden_size % heads:
            raise ValueError(
                f"filter.{filter_kind(self)}.heads = {heads} must divide the encoder's width"
                f" {architecture.hidden_size}"
            )
        return self

    @model_validator(mode="after")
    def _loss_of_a_user_can_be_computed_by_a_rank(self) -> "Spec":
        setting = whole_batch_setting(self) if self.ranks.size > 1 else None
        if setting is not None:
            raise ValueError(
                f"{setting[0]} = {setting[1]} needs the candidates of the whole batch, which"
                f" {self.ranks.size} ranks would divide: choose another value, or use ranks.nproc = 1"
            )
        return self
