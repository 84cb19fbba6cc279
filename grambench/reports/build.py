"""Builds a report from a run's folder alone: finished, unfinished or broken."""

import json
import math
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pydantic

from grambench.analysis import comparison
from grambench.analysis.intervals import NULL, is_null, noise_floor, speedup_interval
from grambench.config.changes import spec_digest
from grambench.events import types as ev
from grambench.events.reader import read_run
from grambench.events.state import RunState, TrialState
from grambench.events.types import SamplerFinished
from grambench.fs import write_atomic
from grambench.reports.cautions import run_cautions
from grambench.reports.runfile import RunFile, read_run_file
from grambench.reports.schema import (
    AuditFacts,
    Candidate,
    DataFacts,
    Engine,
    Environment,
    HostFacts,
    NullTest,
    PluginAudit,
    Report,
    RunFacts,
    SamplingCost,
    SeedSummary,
    Spread,
    TextFacts,
    VectorFacts,
)
from grambench.reports.section import Reasons, finite, printable
from grambench.reports.trials import build_trial, build_worker

REPORT_FILE = "report.json"


def build_report(folder: Path) -> Report:
    """The report of a run as its files tell it now; the same files give the same report.

    Raises:
        DataError: `folder` is no run, or its `run.json` is damaged.
    """
    run = read_run_file(folder)
    state = printable(read_run(folder))
    if spec_digest(finite(run.spec)) != run.spec_sha256:
        words = "run.json was edited or damaged since the run began: its spec does not match its spec_sha256."
        state.warnings["edited-run-file"] = words
    missing = _missing(state)
    why = Reasons()
    return Report(
        schema_version=1,
        run=_run_facts(run, state),
        partial=bool(missing),
        missing=missing,
        environment=_environment(run, state),
        spec=finite(run.spec),
        data=why.given("data", _data(state), "the data were not prepared"),
        audit=why.given("audit", _audit(state), "the audit did not finish"),
        trials=[build_trial(state, trial, run.spec) for trial in state.trials.values()],
        null_tests=[_null_test(state, trial) for trial in state.trials.values() if is_null(trial)],
        seeds=_seed_summaries(state),
        warnings=run_cautions(state),
        reasons=why,
    )


def report_json(report: Report) -> str:
    """The text of `report.json`: UTF-8, two blanks of indent, no NaN, checked against the schema."""
    text = json.dumps(report.model_dump(mode="json"), allow_nan=False, ensure_ascii=False, indent=2)
    Report.model_validate_json(text)
    return text + "\n"


def write_report(folder: Path) -> Path:
    """Build the report and put it, whole, into the run's folder.

    Raises:
        DataError: `folder` is no run, or its `run.json` is damaged.
        OSError: the report cannot be written; an earlier one stays as it is.
    """
    path = folder / REPORT_FILE
    write_atomic(path, report_json(build_report(folder)))
    return path


def _missing(state: RunState) -> list[str]:
    """What a whole report would have beside what this one has."""
    found = []
    if not state.started_wall:
        found.append("The logs hold no event.")
    elif not state.finished:
        found.append("The run has not finished, or was cut off.")
    if state.log_complaints:
        found.append("Lines of the logs are damaged or lost (warning damaged-log).")
    if state.setup.outcome not in (None, "completed"):
        found.append(f"The setup {state.setup.outcome}: {state.setup.reason or 'no reason was recorded'}.")
    if state.setup.data is None:
        found.append("The data were not prepared.")
    if state.setup.audit is None:
        found.append("The audit did not finish.")
    for trial in state.trials.values():
        sentence = _missing_of(trial)
        if sentence:
            found.append(f"{trial.name} {sentence}.")
    return found


def _missing_of(trial: TrialState) -> str:
    if trial.outcome in ("failed", "stopped", "diverged", "interrupted", "skipped"):
        return f"{trial.outcome}" + (f": {trial.reason}" if trial.reason else "")
    if trial.phase is None:
        return "has not begun"
    if trial.outcome is None:
        return f"has not ended (phase {trial.phase})"
    if trial.best is None:
        return "has no validation"
    return "" if trial.test else "has no test scores"


def _run_facts(run: RunFile, state: RunState) -> RunFacts:
    why = Reasons()
    unfinished = "the run has not finished, or was cut off"
    return RunFacts(
        name=run.run,
        preset=run.preset,
        created=run.created,
        command=run.command,
        spec_sha256=run.spec_sha256,
        schedule=state.schedule,
        model_label=state.model_label,
        data_label=state.data_label,
        selected_by=state.select_by,
        finished=state.finished,
        exit_code=why.given("exit_code", state.exit_code, unfinished),
        seconds=why.given("seconds", state.seconds, unfinished),
        reasons=why,
    )


def _environment(run: RunFile, state: RunState) -> Environment:
    why = Reasons()
    host: HostFacts | None
    try:
        host = HostFacts.model_validate(finite(run.host))
        unknown = ""
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        host, unknown = None, f"run.json, host.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return Environment(
        host=why.given("host", host, unknown),
        setup_worker=why.given(
            "setup_worker", build_worker(state.setup.started), "the setup has not started"
        ),
        engine=why.given("engine", _engine(state.setup.engine), "nothing was chosen yet, or an older log"),
        sampling=why.given(
            "sampling",
            _sampling(state.sampling),
            "not in the log: the run has not finished, was cut off, or is of an earlier version",
        ),
        inputs=why.given(
            "inputs",
            {name: check.files for name, check in state.setup.checks.items()} or None,
            "the files were not checked, or the log is of an earlier version",
        ),
        reasons=why,
    )


def _engine(chosen: ev.EngineChosen | None) -> Engine | None:
    if chosen is None:
        return None
    return Engine(
        choice=finite(chosen.choice),
        candidates=[_candidate(tried) for tried in chosen.candidates],
        seconds=chosen.seconds,
        reused=chosen.reused,
    )


def _candidate(tried: dict[str, Any]) -> Candidate:
    why = Reasons()
    note = str(tried.get("why", ""))
    return Candidate(
        setting=str(tried.get("setting")),
        value=why.given("value", finite(tried.get("value")), "not in the log"),
        seconds=why.given("seconds", _number(tried.get("seconds")), note or "not measured"),
        note=note,
        reasons=why,
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _sampling(cost: SamplerFinished | None) -> SamplingCost | None:
    if cost is None:
        return None
    why, none = Reasons(), "no call of NVML was made"
    slowest_s = cost.nvml_slowest_s if cost.nvml_slowest else None
    return SamplingCost(
        seconds=cost.seconds,
        rounds=cost.rounds,
        cpu_s=cost.cpu_s,
        nvml_calls=cost.nvml_calls,
        nvml_s=cost.nvml_s,
        nvml_slowest=why.given("nvml_slowest", cost.nvml_slowest or None, none),
        nvml_slowest_s=why.given("nvml_slowest_s", slowest_s, none),
        reasons=why,
    )


def _data(state: RunState) -> DataFacts | None:
    data = state.setup.data
    if data is None:
        return None
    why = Reasons()
    checks = [check for subject, check in state.setup.checks.items() if subject.startswith("data.")]
    unknown = next((check.note for check in checks if check.note), "")
    known = bool(checks) and not unknown
    reason = f"not checked: {unknown or 'the setup has not finished, or the log is of an earlier version'}"
    return DataFacts(
        fingerprint=data.fingerprint,
        folder=data.folder,
        counts=finite(data.counts),
        seconds=data.seconds,
        reused=data.reused,
        checked_bytes=why.given("checked_bytes", sum(c.bytes for c in checks) if known else None, reason),
        check_s=why.given("check_s", sum(c.seconds for c in checks) if known else None, reason),
        texts=why.given("texts", _texts(data.counts.get("items")), "prepared by an earlier version"),
        reasons=why,
    )


def _texts(counts: Any) -> TextFacts | None:
    """None where the items' counts are of a version that did not count tokens."""
    names = ("items", "text_tokens", "same_tokens", "no_text_tokens", "cut_items")
    if not isinstance(counts, dict) or not all(isinstance(counts.get(name), int) for name in names):
        return None
    why = Reasons()
    unknown = counts.get("unknown_tokens")
    return TextFacts(
        **{name: counts[name] for name in names},
        unknown_tokens=why.given("unknown_tokens", unknown, "the tokenizer has no token for what is unknown"),
        reasons=why,
    )


def _audit(state: RunState) -> AuditFacts | None:
    audit = state.setup.audit
    if audit is None:
        return None
    why = Reasons()

    def number(name: str) -> Any:
        return why.given(name, getattr(audit, name), "not a finite number")

    return AuditFacts(
        equivalent=audit.equivalent,
        tolerance=number("tolerance"),
        users=audit.users,
        occurrences=audit.occurrences,
        unique_items=audit.unique_items,
        encoder_absolute=number("encoder_absolute"),
        encoder_relative=number("encoder_relative"),
        filter_absolute=number("filter_absolute"),
        filter_relative=number("filter_relative"),
        seconds=number("seconds"),
        note=audit.note,
        vectors=why.given("vectors", _vectors(state.setup.encoder), "not in the log: of an earlier version"),
        plugins=[_plugin_audit(found) for found in audit.plugins],
        reasons=why,
    )


def _plugin_audit(found: dict[str, Any]) -> PluginAudit:
    why = Reasons()
    return PluginAudit(
        strategy=str(found.get("strategy")),
        package=str(found.get("package")),
        equivalent=bool(found.get("equivalent")),
        encoder_relative=why.given(
            "encoder_relative", _number(found.get("encoder_relative")), "not a finite number"
        ),
        filter_relative=why.given(
            "filter_relative", _number(found.get("filter_relative")), "not a finite number"
        ),
        reasons=why,
    )


def _vectors(checked: ev.EncoderChecked | None) -> VectorFacts | None:
    if checked is None:
        return None
    why = Reasons()
    return VectorFacts(
        equal=checked.equal,
        tolerance=checked.tolerance,
        items=checked.items,
        relative=why.given("relative", checked.relative, "not a finite number"),
        layout=checked.layout,
        seconds=checked.seconds,
        reasons=why,
    )


def _null_test(state: RunState, trial: TrialState) -> NullTest:
    why = Reasons()
    repeated = state.trials.get(f"{trial.strategy.removeprefix(NULL)}.s{trial.seed}")
    interval = speedup_interval(state, trial, repeated) if repeated is not None else None
    ratio = comparison.speedup(state, trial, trial.strategy.removeprefix(NULL))
    floor = noise_floor(state, trial.seed)
    few = "needs two finished epochs of both trials"
    return NullTest(
        trial=trial.name,
        repeats=repeated.name if repeated else f"{trial.strategy.removeprefix(NULL)}.s{trial.seed}",
        samples_per_s=why.given("samples_per_s", ratio, "not measured for both trials"),
        samples_per_s_low=why.given("samples_per_s_low", interval.low if interval else None, few),
        samples_per_s_high=why.given("samples_per_s_high", interval.high if interval else None, few),
        noise_percent=why.given(
            "noise_percent", None if floor is None else 100 * math.expm1(floor), "no epoch was finished"
        ),
        reasons=why,
    )


def _seed_summaries(state: RunState) -> list[SeedSummary]:
    """Mean and standard deviation of each strategy that ran with two or more seeds."""
    groups: dict[str, list[TrialState]] = {}
    for trial in state.trials.values():
        groups.setdefault(trial.strategy, []).append(trial)
    return [_seed_summary(name, trials) for name, trials in groups.items() if len(trials) > 1]


def _seed_summary(strategy: str, trials: list[TrialState]) -> SeedSummary:
    why = Reasons()
    tests = [trial.test.metrics if trial.test else {} for trial in trials]
    spreads = {name: _spread([test.get(name) for test in tests]) for name in dict.fromkeys(chain(*tests))}
    rates = [comparison.samples_per_second(trial) for trial in trials]
    few = "measured with fewer than two seeds"
    return SeedSummary(
        strategy=strategy,
        seeds=[trial.seed for trial in trials],
        test_auc=why.given("test_auc", spreads.get("auc"), few),
        test={name: spread for name, spread in spreads.items() if spread is not None},
        samples_per_s=why.given("samples_per_s", _spread(rates), few),
        reasons=why,
    )


def _spread(values: list[float | None]) -> Spread | None:
    known = [value for value in values if finite(value) is not None]
    if len(known) < 2:
        return None
    numbers = [float(value) for value in known if value is not None]
    return Spread(n=len(numbers), mean=fmean(numbers), standard_deviation=stdev(numbers))
