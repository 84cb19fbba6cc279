"""`report.json`: the schema of a report, version 1. Names and descriptions give the units."""

from typing import Any, Literal

from pydantic import Field

from grambench.metrics.catalogue import SELECTS
from grambench.reports.comparison_schema import Comparison, Grade, UntilDecided
from grambench.reports.section import Grown, GrownSection, Model, Section
from grambench.reports.trial_schema import Caution, Trial, Worker
from grambench.reports.tuning_schema import Tuning


class Gpu(Section):
    """A GPU of the machine."""

    name: str
    """NVML's name."""
    uuid: str
    """NVML's UUID."""
    memory_total_bytes: int | None
    """Total memory in bytes."""


class HostFacts(Grown):
    """The machine and the software, from `grambench.runner.facts.host_facts`."""

    hostname: str | None
    """Name of the machine."""
    os: str
    """Operating system and kernel."""
    cpu_model: str | None
    """Name of the CPU."""
    physical_cores: int | None
    """Cores, a count."""
    logical_cores: int | None
    """Hardware threads, a count."""
    memory_total_bytes: int
    """Memory of the host in bytes."""
    python: str
    """Version of the runner's Python."""
    packages: dict[str, str | None]
    """Distribution -> installed version."""
    git_commit: str | None
    """Commit of the grambench checkout."""
    git_dirty: bool | None
    """True when the checkout differs from its commit."""
    git_changed: int | None = None
    """Files of the checkout that differ from its commit, a count."""
    package_digest: str | None = None
    """SHA-256 of the installed package's RECORD, in which each of its files has a digest."""
    gpus: list[Gpu]
    """GPUs of the machine."""
    driver: str | None
    """Version of the NVIDIA driver."""
    reasons: dict[str, str]
    """Field -> why it is missing (`packages.torch` for a package, `gpus` for an empty list)."""


class Candidate(Section):
    """A setting that was tried on real items before the run."""

    setting: str
    """Its dotted name."""
    value: Any
    """What was tried."""
    seconds: float | None
    """Median seconds of the encoder, forwards and backwards, over the probe's items."""
    note: str
    """Why it was dropped; empty: it was not."""


class Engine(Model):
    """How the training core ran on the device, for every trial and the audit."""

    choice: dict[str, Any]
    """Setting -> value."""
    candidates: list[Candidate]
    """What was measured to choose it."""
    seconds: float
    """Seconds of the probe."""
    reused: bool
    """True when the run was resumed with its earlier choice."""


class SamplingCost(Section):
    """The cost of sampling GPUs, host and workers to the runner's process."""

    seconds: float
    """Seconds of sampling, over all supervisors of the run that ended normally."""
    rounds: int
    """Rounds of samples, a count."""
    cpu_s: float
    """CPU seconds of the sampler's thread: NVML, psutil and writing the samples."""
    nvml_calls: int
    """NVML calls after it was opened, a count; failed ones included."""
    nvml_s: float
    """Seconds of wall time inside these calls."""
    nvml_slowest: str | None
    """Name of the slowest call."""
    nvml_slowest_s: float | None
    """Seconds of wall time of that call."""


class Environment(GrownSection):
    """Where the run took place."""

    host: HostFacts | None
    """The machine and the software."""
    setup_worker: Worker | None
    """The process that prepared the data and ran the audit; each trial has its own worker."""
    engine: Engine | None = None
    """How the training core ran on the device."""
    sampling: SamplingCost | None = None
    """The cost of sampling."""
    inputs: dict[str, dict[str, str]] | None = None
    """What was read (`data.encoder`, `encoder.model` …) -> file -> SHA-256 of its bytes."""


class RunFacts(Section):
    """What was run, and how it ended."""

    name: str
    """The run's name, also its folder's."""
    preset: str
    """Preset that the specification came from."""
    created: str
    """Wall time of the run's creation, ISO 8601, a label."""
    command: list[str]
    """Command line."""
    spec_sha256: str
    """SHA-256 of the resolved specification."""
    schedule: str
    """How trials shared the device."""
    model_label: str
    """The encoder in words."""
    data_label: str
    """The data in words."""
    selected_by: str = SELECTS
    """The metric of the validation part that selects checkpoints and is the target."""
    finished: bool
    """True when the runner wrote the run's last event."""
    exit_code: int | None
    """Exit code of the run."""
    seconds: float | None
    """Seconds of the whole run, waiting included."""


class TextFacts(GrownSection):
    """What the tokenizer made of the items' texts."""

    items: int
    """Items, a count."""
    text_tokens: int
    """Tokens without the special ones, a count."""
    unknown_tokens: int | None
    """Of these, tokens unknown to the tokenizer, a count."""
    same_tokens: int
    """Items with the tokens of an earlier item, a count."""
    no_text_tokens: int
    """Items without text tokens, a count."""
    cut_items: int
    """Items with a field cut by data.fields, a count."""


class DataFacts(GrownSection):
    """The data that was trained on."""

    fingerprint: str
    """SHA-256 of everything that determines the prepared arrays."""
    folder: str
    """Folder of the prepared arrays."""
    counts: dict[str, Any]
    """The preparation's counts: items, tokens, and per part impressions, clicks, unknown ids …"""
    seconds: float
    """Seconds of the preparation."""
    reused: bool
    """True when an earlier preparation was mapped."""
    texts: TextFacts | None = None
    """What the tokenizer made of the texts."""
    checked_bytes: int | None = None
    """Bytes of prepared files that were read and match their digests."""
    check_s: float | None = None
    """Seconds of that check, which runs beside probe and audit."""


class VectorFacts(Section):
    """Item vectors of the encoder, in the layout of the run, against those of AutoModel, in fp32."""

    equal: bool
    """True when the difference is within the tolerance; else the run is refused."""
    tolerance: float
    """Largest relative difference that counts as equal, a ratio."""
    items: int
    """Items compared, a count."""
    relative: float | None
    """Largest norm of a difference over the norm of the item's vector, a ratio."""
    layout: str
    """How items shared the encoder's calls."""
    seconds: float
    """Seconds of the comparison."""


class PluginAudit(Section):
    """Gradients of another strategy that claims e2e's update against those of e2e, on the same batch."""

    strategy: str
    """Its name."""
    package: str
    """Name and version of its package; empty: grambench."""
    equivalent: bool
    """True when every relative difference is within the audit's tolerance."""
    encoder_relative: float | None
    """Largest absolute difference over the encoder's largest absolute gradient, a ratio."""
    filter_relative: float | None
    """The same of the filter."""


class AdaptAudit(Section):
    """Gradients of one way in which trials adapt the encoder, against those of e2e."""

    adapt: str
    """As `encoder.adapt`."""
    equivalent: bool
    """True when every relative difference is within the tolerance."""
    encoder_relative: float | None
    """Largest absolute difference over the encoder's largest absolute gradient, a ratio."""
    filter_relative: float | None
    """The same of the filter."""


class AuditFacts(GrownSection):
    """Gradients of gram-1s against those of e2e on one batch of the run's data, in float64."""

    equivalent: bool
    """True when every relative difference is within the tolerance."""
    tolerance: float | None
    """Largest relative difference that counts as equal, a ratio."""
    users: int
    """Users of the audited batch, a count."""
    occurrences: int
    """Item appearances in it, a count."""
    unique_items: int
    """Distinct items in it, a count."""
    encoder_absolute: float | None
    """Largest absolute difference over the encoder's gradients."""
    encoder_relative: float | None
    """The same over the largest absolute gradient, a ratio."""
    filter_absolute: float | None
    """Largest absolute difference over the filter's gradients."""
    filter_relative: float | None
    """The same over the largest absolute gradient, a ratio."""
    seconds: float | None
    """Seconds of the audit."""
    note: str
    """Further remarks."""
    vectors: VectorFacts | None = None
    """Whether the encoder computes what the original model computes."""
    plugins: list[PluginAudit] = Field(default_factory=list)
    """Strategies of other packages that claim e2e's update, and `e2e-gc`."""
    adapts: list[AdaptAudit] = Field(default_factory=list)
    """Each way in which the trials adapt the encoder; empty: there is one."""
    self_relative: float | None = None
    """Largest relative difference of e2e from itself with a batch of other composition, a ratio; the
    tolerance follows it."""
    ranks: int = 1
    """Ranks on the CPU whose gradients were compared with those of one process, a count; 1: none were."""
    ranks_relative: float | None = None
    """Their largest relative difference, a ratio."""
    ranks_equivalent: bool = True
    """False where that is above the tolerance."""


class Spread(Model):
    """A number over several seeds."""

    n: int
    """Seeds in which it was measured, a count."""
    mean: float
    """Mean over the seeds, in the number's own unit."""
    standard_deviation: float
    """Sample standard deviation (n − 1), in the same unit."""


class PlaceFacts(Section):
    """A label's place by its mean test score (`evaluation.select_by`), in the score's own unit."""

    label: str
    """The label."""
    mean: float
    """Mean test score over its seeds."""
    seeds: int
    """Seeds with a test score, a count."""
    behind: float | None
    """Mean by which the best label is better with the same seed."""
    low: float | None
    """Lower end of its t interval; those of all pairs of labels hold together with 95 %."""
    high: float | None
    """Upper end of it."""
    told_apart: bool
    """True where the interval is above 0."""


class SeedSummary(Section):
    """One label over its seeds."""

    strategy: str
    """Name of the strategy."""
    label: str = ""
    """Label of its trials; empty: a report of an earlier version, where it is the strategy."""
    seeds: list[int]
    """Seeds that were run."""
    test_auc: Spread | None
    """Test AUC, 0 to 1."""
    test: dict[str, Spread] = Field(default_factory=dict)
    """Every metric of the test part, by name."""
    samples_per_s: Spread | None
    """Users trained on per training second."""


class NullTest(Section):
    """A strategy against itself: the effect of noise alone on a speed-up."""

    trial: str
    """The trial that repeats another one."""
    repeats: str
    """The trial that it repeats."""
    samples_per_s: float | None
    """Ratio of their samples per training second; 1 without noise."""
    noise_percent: float | None
    """The apparent difference in percent."""


class Report(Section):
    """A run, from its `run.json` and its logs."""

    schema_version: Literal[2]
    """Version of this schema."""
    run: RunFacts
    """What was run."""
    partial: bool
    """True when something is missing."""
    missing: list[str]
    """What is missing, in sentences."""
    environment: Environment
    """Where."""
    spec: dict[str, Any]
    """The specification as resolved."""
    data: DataFacts | None
    """The data that was trained on."""
    audit: AuditFacts | None
    """Whether single-step is E2E on this model and data."""
    trials: list[Trial]
    """In running order."""
    null_tests: list[NullTest]
    """One per seed, if requested."""
    comparisons: list[Comparison]
    """Each candidate against the reference."""
    grade: Grade | None
    """How far the conditions of the run support its claims."""
    until_decided: UntilDecided | None
    """What a run that ends when it is decided has seen."""
    tuning: Tuning | None
    """How `grambench tune` chose the settings."""
    places: list[PlaceFacts] = Field(default_factory=list)
    """Labels by their mean test score, best first; empty for fewer than three, and in older reports."""
    seeds: list[SeedSummary]
    """Labels with two or more seeds."""
    warnings: list[Caution]
    """Warnings about the whole run."""


SCHEMA_ID = "urn:grambench:report:2"
"""A name, which nothing fetches."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `report.json`."""
    schema = Report.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}
