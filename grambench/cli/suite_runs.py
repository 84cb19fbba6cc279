"""The runs of a suite: which can start, how long they may take, and what their reports say."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from grambench.cli.follow import Follow
from grambench.cli.output import say
from grambench.cli.run import start_supervisor
from grambench.cli.settings import resolve
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.domains.locate import locate
from grambench.errors import ConfigError, DataError, ExitCode
from grambench.events.reader import read_run
from grambench.reports.build import build_report, write_report
from grambench.reports.schema import Report
from grambench.reports.suites import Row, Suite, grouped
from grambench.reports.trial_schema import Trial
from grambench.runner.resume import changed_settings
from grambench.runner.rundir import create_run, list_runs, supervisor_of

PROBE_STEPS = 20
_DONE = (ExitCode.OK, ExitCode.NOT_EQUIVALENT, ExitCode.PARTIAL)


@dataclass(frozen=True, slots=True)
class Settings:
    """Command-line settings that apply to every run."""

    data_dirs: dict[str, Path]
    assignments: tuple[str, ...]
    out: Path
    only: frozenset[str] | None = None
    """Labels of the selected rows; None: all."""
    resume: bool = False
    """Use the runs of the same settings in `out`: those that are done as they are, others resumed."""

    @classmethod
    def of(
        cls,
        data_dirs: list[str],
        assignments: list[str],
        out: Path,
        only: str | None = None,
        resume: bool = False,
    ) -> Self:
        """Parse `PRESET=DIR` arguments.

        Raises:
            ConfigError: an argument without an equals sign.
        """
        folders = {}
        for word in data_dirs:
            preset, equals, folder = word.partition("=")
            if not equals or not preset or not folder:
                raise ConfigError(f"--data-dir {word!r} names no preset.", "Write --data-dir PRESET=DIR.")
            folders[preset] = Path(folder)
        wanted = None if only is None else frozenset(name.strip() for name in only.split(","))
        return cls(folders, tuple(assignments), out, wanted, resume)


@dataclass(slots=True)
class Planned:
    """What a row would run."""

    preset: str
    row: Row
    reason: str = ""
    """Why it cannot run; empty: it can."""
    seconds_an_epoch: float | None = None
    epochs: int = 0


@dataclass(slots=True)
class PresetResults:
    """Results of a preset's runs, or why there are none."""

    preset: str
    trials: dict[str, Trial] = field(default_factory=dict)
    """By the label of their row."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By label: why a row is blank."""
    reports: list[Report] = field(default_factory=list)
    """Of its runs."""


def planned(suite: Suite, presets: tuple[str, ...], settings: Settings) -> list[Planned]:
    """Every row; where the data exists, with seconds per epoch from a probe of a few steps."""
    found: list[Planned] = []
    for preset in presets:
        rows = {row.label: Planned(preset, row) for row in suite.rows_for(preset)}
        found.extend(rows.values())
        reasons = _reasons(suite, preset, settings)
        for label, reason in reasons.items():
            rows[label].reason = reason
        able = [row for row in suite.rows_for(preset) if not reasons.get(row.label)]
        for words, strategies in grouped(able).items():
            probe = (*words, f"training.max_steps={PROBE_STEPS}", "training.seeds=[0]")
            _, report = _run(preset, strategies, probe, replace(settings, resume=False))
            trials = _of_first_seed(report)
            for row in able:
                if row.settings == words and (trial := trials.get(row.strategy or "")) is not None:
                    spec = _spec(preset, [row.strategy or ""], words, settings)
                    rows[row.label].seconds_an_epoch = _seconds_an_epoch(trial)
                    rows[row.label].epochs = spec.training.epochs
    return found


def results(suite: Suite, presets: tuple[str, ...], settings: Settings) -> tuple[int, list[PresetResults]]:
    """Train every row that can run; the exit code (of the last run that failed), and the reports' trials."""
    code = int(ExitCode.OK)
    found: list[PresetResults] = []
    for preset in presets:
        ours = PresetResults(preset, reasons=_reasons(suite, preset, settings))
        found.append(ours)
        able = [row for row in suite.rows_for(preset) if not ours.reasons.get(row.label)]
        for words, strategies in grouped(able).items():
            ended, report = _run(preset, strategies, words, settings)
            trials = _of_first_seed(report)
            ours.reports.append(report)
            code = ended or code
            for row in able:
                if row.settings != words:
                    continue
                trial = trials.get(row.strategy or "")
                if trial is None or trial.outcome not in ("completed", "early-stopped"):
                    ours.reasons[row.label] = (
                        trial.outcome_reason if trial else "the run recorded no such trial"
                    )
                if trial is not None:
                    ours.trials[row.label] = trial
            if ended in (ExitCode.STOPPED, ExitCode.INTERRUPTED):
                return code, found
    return code, found


def _reasons(suite: Suite, preset: str, settings: Settings) -> dict[str, str]:
    """Why rows cannot run, by label; all of them where the data is absent.

    Raises:
        ConfigError: the preset or a setting cannot be used.
    """
    rows = suite.rows_for(preset)
    reasons = {}
    if settings.only is not None:
        reasons = {row.label: "left out by --strategies" for row in rows if row.label not in settings.only}
    spec = _spec(preset, ["gram-1s"], (), settings)
    for row in rows:
        domains = row_of(row.strategy).domains
        if domains and spec.data.domain not in domains:
            reasons[row.label] = f"a system for {' and '.join(domains)}"
    if spec.data.is_generated:
        return reasons
    try:
        locate(spec.data)
    except DataError as error:
        return {row.label: str(error) for row in rows} | reasons
    return reasons


def _spec(preset: str, strategies: list[str], words: tuple[str, ...], settings: Settings) -> Spec:
    changes = [*words, *settings.assignments]
    return resolve(preset, changes, ",".join(strategies), data_dir=settings.data_dirs.get(preset))


def _run(
    preset: str, strategies: list[str], words: tuple[str, ...], settings: Settings
) -> tuple[int, Report]:
    """A run from start to end, its progress on stderr; its exit code and its report."""
    spec = _spec(preset, list(dict.fromkeys(strategies)), words, settings)
    folder = _kept(spec, settings.out) if settings.resume else None
    how = "resumes" if folder else "in"
    folder = folder or create_run(spec, preset, settings.out, ["grambench", *sys.argv[1:]])
    if is_done(folder):
        say(f"{preset}: {', '.join(spec.training.strategies)} is done in {folder}", err=True)
        report = build_report(folder)
        return report.run.exit_code or int(ExitCode.OK), report
    say(f"{preset}: {', '.join(spec.training.strategies)} {how} {folder}", err=True)
    with Follow(folder) as follow:
        if supervisor_of(folder) is None:
            follow.supervisor = start_supervisor(folder)
        follow.watch("plain")
    write_report(folder)
    report = build_report(folder)
    code = report.run.exit_code
    if follow.left or code is None:
        code = int(ExitCode.STOPPED if follow.left else ExitCode.BUG)
    return code, report


def _kept(spec: Spec, out: Path) -> Path | None:
    """The newest run in `out` with these settings, preferably finished; None if there is no such run."""
    found = [folder for folder in list_runs(out)[::-1] if _has_settings(folder, spec)]
    return next((folder for folder in found if is_done(folder)), found[0] if found else None)


def _has_settings(folder: Path, spec: Spec) -> bool:
    try:
        return not changed_settings(folder, spec)
    except (DataError, ConfigError):
        return False


def is_done(folder: Path) -> bool:
    """Whether a run has ended by itself, even if trials of it failed."""
    return read_run(folder).exit_code in _DONE


def _of_first_seed(report: Report) -> dict[str, Trial]:
    """Strategy -> its trial."""
    first = min(((trial.seed, trial.repeat) for trial in report.trials), default=None)
    return {trial.strategy: trial for trial in report.trials if (trial.seed, trial.repeat) == first}


def _seconds_an_epoch(trial: Trial) -> float | None:
    """From the probe's rate, with an epoch's window closed after a few steps."""
    rate = trial.times.samples_per_s
    if not rate or trial.plan is None:
        return None
    return trial.plan.steps_per_epoch * trial.plan.batch_size / rate
