"""Which reports may be compared with each other, and how their machines differ."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grambench.config.kept import read_kept
from grambench.config.reads import is_read
from grambench.config.spec import Spec
from grambench.config.table import settings
from grambench.config.trial_name import NULL
from grambench.errors import ConfigError, NotComparableError
from grambench.reports.schema import Report
from grambench.reports.section import Model, Section, build_section
from grambench.reports.trial_schema import Trial

_OF_ONE_RUN = (
    "name",
    "description",
    "data.dir",
    "data.column_names",  # the fingerprint tells what it changes
    "trials",
    "tune",
    "evaluation.test",
    *(
        f"training.{name}"
        for name in ("strategies", "seeds", "repeats", "order", "until_decided", "decide", "checkpoint_s")
    ),
    "null_test",
    "hang_s",
    "audit",
    "engine.probe_s",
)
"""Settings and tables that change no trial."""
_SECONDS_ONLY = (
    "schedule",
    "turn_s",
    "device",
    "cpu_threads",
    "engine",
    "encoder.layout",
    "encoder.compile",
    "encoder.bucket_tokens",
    "encoder.cache_gib",
    "data.device_gib",
    "training.micro_batch",
    "training.encoder_chunk",
    "training.memory_share",
)
"""Settings and tables that change how fast a trial is, never its update."""
_SAME_SETTINGS = "Only seeds, repeats, schedule, device and engine may differ: run one of them again."


class EnvironmentDifference(Model):
    """One fact about the machines, the software or the engine in which the runs differ."""

    field: str
    """The fact, or the dotted name of the setting."""
    values: list[str | None]
    """Of each run, in their order; null: unknown."""
    changes_cost: bool
    """True where seconds may be compared with `--across-hardware` only."""


class ComparedRun(Section):
    """One of the runs."""

    name: str
    """Its name, or what it was asked for by where another run has the same name."""
    created: str
    """Wall time of its creation, ISO 8601, a label."""
    hostname: str | None
    """Name of the machine."""


@dataclass(frozen=True, slots=True)
class Source:
    """A run to be compared."""

    name: str
    """Its name, or what it was asked for by where another run has the same name."""
    report: Report

    @property
    def trials(self) -> list[Trial]:
        """Without null tests."""
        return [trial for trial in self.report.trials if not label_of(trial).startswith(NULL)]

    def of(self, label: str) -> list[Trial]:
        """The trials of a label, in running order."""
        return [trial for trial in self.trials if label_of(trial) == label]

    def spec(self) -> Spec:
        """Its settings, with those that its version did not have.

        Raises:
            NotComparableError: this version cannot read them.
        """
        try:
            return read_kept(self.report.spec)
        except (ConfigError, ValueError, TypeError, AttributeError) as error:
            raise NotComparableError(
                f"This version cannot read the settings of {self.name}.",
                "Install the plug-ins that it was started with, or use the version that made it.",
            ) from error

    def described(self) -> ComparedRun:
        """For the runs of a comparison."""
        host = self.report.environment.host
        return build_section(
            ComparedRun,
            otherwise="the run did not record it",
            name=self.name,
            created=self.report.run.created,
            hostname=host.hostname if host else None,
        )


def label_of(trial: Trial) -> str:
    """Reports of version 1 name the strategy only."""
    return trial.label or trial.strategy


def named_sources(asked: Sequence[tuple[str, Report]]) -> list[Source]:
    """Reports under names of which no two are the same.

    Raises:
        ConfigError: there are fewer than two, or a run is given twice.
    """
    if len(asked) < 2:
        raise ConfigError("One run has nothing to be compared with.", "Name two or more.")
    seen: dict[tuple[str, str, str | None], str] = {}
    for name, report in asked:
        host = report.environment.host
        run = (report.run.name, report.run.created, host.hostname if host else None)
        if run in seen:
            raise ConfigError(f"{seen[run]} and {name} are the same run.", "Name each run once.")
        seen[run] = name
    often = Counter(report.run.name for _, report in asked)
    return [Source(r.run.name if often[r.run.name] == 1 else name, r) for name, r in asked]


def require_comparable(sources: Sequence[Source], *, across_hardware: bool) -> None:
    """Refuse runs between which a difference would not be one of the trials.

    Args:
        sources: two or more.
        across_hardware: other hardware and other versions are no reason.

    Raises:
        NotComparableError: names the first difference.
    """
    for source in sources:
        _require_audited(source)
    first = sources[0]
    for other in sources[1:]:
        _require_same_data(first, other)
        _require_same_settings(first, other)
    machines = [row for row in environment_differences(sources) if row.changes_cost]
    if machines and not across_hardware:
        row = machines[0]
        words = _unlike(sources, row.values)
        raise NotComparableError(
            f"The runs differ in {row.field}: {words}.",
            "Compare runs of one machine, or give --across-hardware and trust the scores only.",
        )


def environment_differences(sources: Sequence[Source]) -> list[EnvironmentDifference]:
    """Facts and settings in which the runs differ; those that seconds depend on come first."""
    costs = [dict(_hardware(source.report)) for source in sources]
    others = [{**_software(source.report), **_engine(source)} for source in sources]
    return [*_differing(costs, changes_cost=True), *_differing(others, changes_cost=False)]


def _differing(
    facts: Sequence[Mapping[str, str | None]], *, changes_cost: bool
) -> Iterator[EnvironmentDifference]:
    for field in dict.fromkeys(name for each in facts for name in each):
        values = [each.get(field) for each in facts]
        if len(set(values)) > 1:
            yield EnvironmentDifference(field=field, values=values, changes_cost=changes_cost)


def _hardware(report: Report) -> Iterator[tuple[str, str | None]]:
    host, worker = report.environment.host, report.environment.setup_worker
    packages = host.packages if host else {}
    yield "CPU", host.cpu_model if host else None
    yield "cores", str(host.physical_cores) if host and host.physical_cores else None
    yield "GPUs", (", ".join(gpu.name for gpu in host.gpus) or "none") if host else None
    yield "device", worker.device_name if worker else None
    yield "torch", worker.versions.get("torch") if worker else packages.get("torch")
    yield "grambench", packages.get("grambench")


def _software(report: Report) -> dict[str, str | None]:
    host, worker = report.environment.host, report.environment.setup_worker
    found: dict[str, str | None] = {}
    if host is not None:
        names = ("hostname", "os", "python", "driver", "git_commit")
        found |= {name.replace("_", " "): getattr(host, name) for name in names}
        found |= {name: host.packages.get(name) for name in ("transformers", "numpy")}
    if worker is not None:
        found |= {
            "threads": str(worker.threads),
            "precision": worker.precision,
            "attention": worker.attention,
        }
    return found


def _engine(source: Source) -> dict[str, str | None]:
    values = ((key, value) for key, value, _ in settings(source.spec()) if _within(key, _SECONDS_ONLY))
    return {key: _words(value) for key, value in values if not _within(key, _OF_ONE_RUN)}


def _require_audited(source: Source) -> None:
    audit = source.report.audit
    if audit is None:
        raise NotComparableError(
            f"{source.name} has no audit, so nothing is known of its gradients.",
            f"Finish it with `grambench run --resume {source.report.run.name}`.",
        )
    unequal = [plugin.strategy for plugin in audit.plugins if not plugin.equivalent]
    wrong = [f"{name} is not e2e" for name in (*["gram-1s"][audit.equivalent :], *unequal)]
    if not audit.ranks_equivalent:
        wrong.append(f"{audit.ranks} ranks are not one process")
    if audit.vectors is not None and not audit.vectors.equal:
        wrong.append("its encoder is not AutoModel's")
    if wrong:
        raise NotComparableError(
            f"The audit of {source.name} found that {wrong[0]}.", "Run it again with what passes the audit."
        )


def _require_same_data(first: Source, other: Source) -> None:
    for source in (first, other):
        if source.report.data is None:
            raise NotComparableError(f"{source.name} has prepared no data.", "Let it run to its end first.")
    prints = [source.report.data.fingerprint for source in (first, other) if source.report.data]
    if len(set(prints)) > 1:
        words = _unlike((first, other), [each[:12] for each in prints])
        raise NotComparableError(
            f"The runs were trained on other data: fingerprint {words}.", "Prepare the same data for both."
        )
    read = [source.report.environment.inputs or {} for source in (first, other)]
    for name in read[0].keys() & read[1].keys():
        if not name.startswith("data.") and set(read[0][name].values()) != set(read[1][name].values()):
            raise NotComparableError(
                f"{first.name} and {other.name} read other files as {name}.", "Use the same files for both."
            )


def _require_same_settings(first: Source, other: Source) -> None:
    specs = first.spec(), other.spec()
    entries = [{entry.label: entry for entry in spec.entries} for spec in specs]
    common = [label for label in entries[0] if label in entries[1]]
    if not common:
        raise NotComparableError(
            f"{first.name} and {other.name} have no trial in common.", "Compare runs of the same strategies."
        )
    strategies = [entry.strategy for entry in entries[0].values() if entry.label in common]
    values = [{key: value for key, value, _ in settings(spec)} for spec in specs]
    for key in dict.fromkeys((*values[0], *values[1])):
        if values[0].get(key) == values[1].get(key) or _within(key, (*_OF_ONE_RUN, *_SECONDS_ONLY)):
            continue
        if any(is_read(spec, key, strategies) for spec in specs):
            words = _unlike((first, other), [_words(each.get(key)) for each in values])
            raise NotComparableError(f"The runs differ in {key}: {words}.", _SAME_SETTINGS)
    for label in common:
        own = [(each[label].strategy, each[label].settings) for each in entries]
        if own[0] != own[1]:
            described = [" ".join((name, *(f"{k} = {_words(v)}" for k, v in s.items()))) for name, s in own]
            words = _unlike((first, other), described)
            raise NotComparableError(
                f"The trials {label} differ: {words}.", "Give trials with other settings another label."
            )


def _unlike(sources: Sequence[Source], values: Sequence[str | None]) -> str:
    """`A of this run, B of that one`, of the first run and of the first that differs from it."""
    other = next(n for n, value in enumerate(values) if value != values[0])
    pairs = ((values[n] or "unknown", sources[n].name) for n in (0, other))
    return ", ".join(f"{value} in {name}" for value, name in pairs)


def _within(key: str, tables: Sequence[str]) -> bool:
    return any(key == table or key.startswith(f"{table}.") for table in tables)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
