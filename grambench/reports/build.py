"""Builds a report from a run's folder alone, whether finished, unfinished or damaged."""

import json
import math
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pydantic

from grambench.analysis import comparison
from grambench.analysis.pairs import target_of
from grambench.analysis.ranking import Place, places, scores_by_label
from grambench.config.changes import spec_digest
from grambench.events import types as ev
from grambench.events.reader import read_run
from grambench.events.state import RunState, TrialState
from grambench.events.types import SamplerFinished
from grambench.fs import write_atomic
from grambench.reports.cautions import run_cautions
from grambench.reports.comparison_schema import Look, UntilDecided
from grambench.reports.comparisons import build_comparisons, build_grade, compared_in, most_seeds
from grambench.reports.runfile import REPORT_FILE, RunFile, read_run_file
from grambench.reports.schema import (
    AdaptAudit,
    AuditFacts,
    Candidate,
    DataFacts,
    Engine,
    Environment,
    HostFacts,
    NullTest,
    PlaceFacts,
    PluginAudit,
    Report,
    RunFacts,
    SamplingCost,
    SeedSummary,
    Spread,
    TextFacts,
    VectorFacts,
)
from grambench.reports.section import build_section, finite, printable
from grambench.reports.trials import build_trial, build_worker
from grambench.reports.tuning import read_tuning
from grambench.reports.verdict import grade_of
from grambench.text import redacted, safe_json

_NOT_FINITE = "not a finite number"


def build_report(folder: Path) -> Report:
    """The report of a run from its current files; the same files give the same report.

    Raises:
        DataError: `folder` is not a run folder, or its `run.json` is damaged.
    """
    run = read_run_file(folder)
    state = printable(read_run(folder))
    if spec_digest(finite(run.spec)) != run.spec_sha256:
        words = "run.json was edited or damaged since the run began: its spec does not match its spec_sha256."
        state.warnings["edited-run-file"] = words
    missing = _missing(state)
    compared = compared_in(state, run.spec, folder)
    target = target_of(state, run.spec)
    tuning, not_tuned = read_tuning(folder)
    return build_section(
        Report,
        reasons={
            "data": "the data were not prepared",
            "audit": "the audit did not finish",
            "until_decided": "the run has a fixed number of seeds",
            "tuning": not_tuned,
        },
        schema_version=2,
        run=_run_facts(run, state),
        partial=bool(missing),
        missing=missing,
        environment=_environment(run, state),
        spec=run.spec,
        data=_data(state),
        audit=_audit(state),
        trials=[build_trial(state, trial, run.spec) for trial in state.trials.values()],
        null_tests=[_null_test(state, trial) for trial in state.trials.values() if trial.is_null],
        comparisons=build_comparisons(state, compared, target, run.run),
        grade=build_grade(grade_of(state, run.spec, run.host, compared)),
        until_decided=_until_decided(state, run.spec),
        tuning=tuning,
        places=[_place(each) for each in places(scores_by_label(state), state.metric.better)],
        seeds=_seed_summaries(state),
        warnings=run_cautions(state),
    )


def report_json(report: Report) -> str:
    """The text of `report.json`: UTF-8, indented by two spaces, no NaN, checked against the schema."""
    text = json.dumps(report.model_dump(mode="json"), allow_nan=False, ensure_ascii=False, indent=2)
    Report.model_validate_json(text)
    return safe_json(redacted(text)) + "\n"


def write_report(folder: Path) -> Path:
    """Build the report and write it atomically to the run's folder.

    Raises:
        DataError: `folder` is not a run folder, or its `run.json` is damaged.
        OSError: the report cannot be written; an earlier one stays as it is.
    """
    path = folder / REPORT_FILE
    write_atomic(path, report_json(build_report(folder)))
    return path


def _missing(state: RunState) -> list[str]:
    """What this report lacks, in sentences."""
    found = []
    if not state.started_wall:
        found.append("The logs hold no events.")
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
        sentence = _missing_of(trial, state.scores_test)
        if sentence:
            found.append(f"{trial.name} {sentence}.")
    return found


def _missing_of(trial: TrialState, scores_test: bool) -> str:
    if trial.decided_after is not None:
        return ""
    if trial.outcome in ("failed", "stopped", "diverged", "interrupted", "skipped"):
        return f"{trial.outcome}" + (f": {trial.reason}" if trial.reason else "")
    if trial.phase is None:
        return "has not begun"
    if trial.outcome is None:
        return f"has not ended (phase {trial.phase})"
    if trial.best is None:
        return "has no validation"
    return "" if trial.test or not scores_test else "has no test scores"


def _run_facts(run: RunFile, state: RunState) -> RunFacts:
    unfinished = "the run has not finished, or was cut off"
    return build_section(
        RunFacts, run, state, otherwise=unfinished, name=run.run, selected_by=state.select_by
    )


def _environment(run: RunFile, state: RunState) -> Environment:
    host, unknown = _host(run)
    return build_section(
        Environment,
        reasons={
            "host": unknown,
            "setup_worker": "the setup has not started",
            "engine": "nothing was chosen yet, or an older log",
            "sampling": "not in the log: the run has not finished, was cut off, or is of an earlier version",
            "inputs": "the files were not checked, or the log is of an earlier version",
        },
        host=host,
        setup_worker=build_worker(state.setup.started),
        engine=_engine(state.setup.engine),
        sampling=_sampling(state.sampling),
        inputs={name: check.files for name, check in state.setup.checks.items()} or None,
    )


def _host(run: RunFile) -> tuple[HostFacts | None, str]:
    """The machine, or None and why it is unknown."""
    try:
        return HostFacts.model_validate(finite(run.host)), ""
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        return None, f"run.json, host.{'.'.join(map(str, first['loc']))}: {first['msg']}"


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
    note = str(tried.get("why", ""))
    return build_section(
        Candidate,
        reasons={"value": "not in the log", "seconds": note or "not measured"},
        setting=str(tried.get("setting")),
        value=tried.get("value"),
        seconds=_number(tried.get("seconds")),
        note=note,
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _sampling(cost: SamplerFinished | None) -> SamplingCost | None:
    if cost is None:
        return None
    return build_section(
        SamplingCost,
        cost,
        otherwise="no call of NVML was made",
        nvml_slowest=cost.nvml_slowest or None,
        nvml_slowest_s=cost.nvml_slowest_s if cost.nvml_slowest else None,
    )


def _data(state: RunState) -> DataFacts | None:
    data = state.setup.data
    if data is None:
        return None
    checks = [check for subject, check in state.setup.checks.items() if subject.startswith("data.")]
    unknown = next((check.note for check in checks if check.note), "")
    known = bool(checks) and not unknown
    reason = f"not checked: {unknown or 'the setup has not finished, or the log is of an earlier version'}"
    return build_section(
        DataFacts,
        data,
        reasons={"checked_bytes": reason, "check_s": reason, "texts": "prepared by an earlier version"},
        checked_bytes=sum(check.bytes for check in checks) if known else None,
        check_s=sum(check.seconds for check in checks) if known else None,
        texts=_texts(data.counts.get("items")),
    )


def _texts(counts: Any) -> TextFacts | None:
    """None if the items' counts are from a version that did not count tokens."""
    names = ("items", "text_tokens", "same_tokens", "no_text_tokens", "cut_items")
    if not isinstance(counts, dict) or not all(isinstance(counts.get(name), int) for name in names):
        return None
    return build_section(
        TextFacts,
        otherwise="the tokenizer has no token for what is unknown",
        unknown_tokens=counts.get("unknown_tokens"),
        **{name: counts[name] for name in names},
    )


def _audit(state: RunState) -> AuditFacts | None:
    if state.setup.audit is None:
        return None
    audit = state.setup.audit
    return build_section(
        AuditFacts,
        audit,
        reasons={
            "vectors": "not in the log: of an earlier version",
            "self_relative": "not measured: the gradients agree to 1e-10, or an older log does not say",
            **({} if audit.ranks > 1 else {"ranks_relative": "one process trains each trial"}),
        },
        otherwise=_NOT_FINITE,
        vectors=_vectors(state.setup.encoder),
        plugins=[_plugin_audit(found) for found in audit.plugins],
        adapts=[_adapt_audit(found) for found in audit.adapts],
    )


def _place(found: Place) -> PlaceFacts:
    why = "it is the best, or has no seed in common with it"
    short = "there are fewer than 3 common seeds" if found.behind is not None else why
    return build_section(PlaceFacts, found, reasons={"behind": why}, otherwise=short)


def _adapt_audit(found: dict[str, Any]) -> AdaptAudit:
    return build_section(
        AdaptAudit, otherwise=_NOT_FINITE, adapt=str(found.get("adapt")), **_gradients(found)
    )


def _plugin_audit(found: dict[str, Any]) -> PluginAudit:
    return build_section(
        PluginAudit,
        otherwise=_NOT_FINITE,
        strategy=str(found.get("strategy")),
        package=str(found.get("package")),
        **_gradients(found),
    )


def _gradients(found: dict[str, Any]) -> dict[str, Any]:
    """What a comparison of gradients with `e2e`'s came to."""
    return {
        "equivalent": bool(found.get("equivalent")),
        "encoder_relative": _number(found.get("encoder_relative")),
        "filter_relative": _number(found.get("filter_relative")),
    }


def _vectors(checked: ev.EncoderChecked | None) -> VectorFacts | None:
    return None if checked is None else build_section(VectorFacts, checked, otherwise=_NOT_FINITE)


def _null_test(state: RunState, trial: TrialState) -> NullTest:
    repeated = comparison.repeated_by(state, trial)
    ratio = comparison.ratio_over(trial, repeated)
    return build_section(
        NullTest,
        reasons={
            "samples_per_s": "not measured for both trials",
            "noise_percent": "not measured for both trials",
        },
        trial=trial.name,
        repeats=str(trial.trial_name.repeated),
        samples_per_s=ratio,
        noise_percent=100 * math.expm1(abs(math.log(ratio))) if ratio else None,
    )


def _until_decided(state: RunState, spec: dict[str, Any]) -> UntilDecided | None:
    most = most_seeds(spec)
    if most is None:
        return None
    looks = [Look(seeds=look.seeds, decided=look.decided, rows=finite(look.rows)) for look in state.looks]
    decided = next((look.seeds for look in looks if look.decided), None)
    return build_section(
        UntilDecided,
        otherwise="it was not decided" if state.finished else "it is not decided yet",
        most_seeds=most,
        decided_at_seeds=decided,
        looks=looks,
    )


def _seed_summaries(state: RunState) -> list[SeedSummary]:
    """Mean and standard deviation of each label with two or more seeds, over their first processes."""
    groups: dict[str, list[TrialState]] = {}
    for trial in state.trials.values():
        if trial.repeat == 1 and trial.decided_after is None:
            groups.setdefault(trial.label, []).append(trial)
    return [_seed_summary(trials) for trials in groups.values() if len(trials) > 1]


def _seed_summary(trials: list[TrialState]) -> SeedSummary:
    tests = [trial.test.metrics if trial.test else {} for trial in trials]
    sizes = comparison.group_sizes(trials)
    spreads = {name: _spread([test.get(name) for test in tests]) for name in dict.fromkeys(chain(*tests))}
    return build_section(
        SeedSummary,
        otherwise="measured with fewer than two seeds",
        strategy=trials[0].strategy,
        label=trials[0].label,
        seeds=[trial.seed for trial in trials],
        test_auc=spreads.get("auc"),
        test={name: spread for name, spread in spreads.items() if spread is not None},
        samples_per_s=_spread([comparison.samples_per_second(trial) for trial in trials if len(sizes) < 2]),
    )


def _spread(values: list[float | None]) -> Spread | None:
    known = [value for value in values if finite(value) is not None]
    if len(known) < 2:
        return None
    numbers = [float(value) for value in known if value is not None]
    return Spread(n=len(numbers), mean=fmean(numbers), standard_deviation=stdev(numbers))
