"""`tuning.json`: how the settings of a run were chosen, kept in its folder."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grambench.analysis import tuning as analysis
from grambench.analysis.tuning import TuningTrial
from grambench.config.spec import Spec
from grambench.config.tune import Range
from grambench.config.tuning import TuningPlan, drawn, own_value, position, tuning_label
from grambench.events.state import RunState
from grambench.fs import read_regular
from grambench.metrics.catalogue import Metric
from grambench.reports.runfile import RunFile
from grambench.reports.section import build_section
from grambench.reports.tuning_schema import TriedSettings, TunedContestant, Tuning

TUNING_FILE = "tuning.json"
_EDGE = 0.1
"""A selected value within this share of its range's logarithm from an end lies at the edge."""


def build_tuning(plan: TuningPlan, spec: Spec, run: RunFile, state: RunState) -> Tuning:
    """The table of an ended tuning run.

    Args:
        plan: of the tuning.
        spec: of its final run.
        run: what the tuning run's `run.json` holds.
        state: of the tuning run.
    """
    contestants = tuned_contestants(plan, spec, state)
    scores = [t.validation for each in contestants for t in each.trials if t.validation is not None]
    floor = min(scores, key=lambda score: state.metric.better * score, default=None)
    built = [_contestant(each, floor, state.metric) for each in contestants]
    return Tuning(
        run=run.run,
        spec_sha256=run.spec_sha256,
        budget=plan.budget,
        seed=plan.seed,
        metric=state.select_by,
        space=plan.model_dump(mode="json")["space"],
        contestants=built,
        left_out=[each.label for each in built if each.selected is None],
        train_s=sum(each.train_s for each in built),
    )


def tuned_contestants(plan: TuningPlan, spec: Spec, state: RunState) -> list[analysis.TunedContestant]:
    """Every contestant of an ended tuning run.

    Args:
        plan: of the tuning.
        spec: of its final run.
        state: of the tuning run.
    """
    found = []
    for entry in spec.entries:
        settings = [drawn(plan, spec, entry, draw) for draw in range(plan.budget)]
        trials = [_trial(plan, state, entry.label, draw, own) for draw, own in enumerate(settings)]
        best = analysis.selected(trials, state.metric)
        found.append(
            analysis.TunedContestant(
                entry.label, entry.strategy, tuple(trials), best, tuple(_cautions(plan, spec, trials, best))
            )
        )
    return found


def read_tuning(folder: Path) -> tuple[Tuning | None, str]:
    """The table in a run's folder, or None with the reason."""
    try:
        return Tuning.model_validate_json(read_regular(folder / TUNING_FILE)), ""
    except FileNotFoundError:
        return None, "its settings were not chosen by grambench tune"
    except (OSError, ValueError, RecursionError):
        return None, f"{TUNING_FILE} cannot be read"


def trials_tried(folder: Path) -> dict[str, int]:
    """Label -> trials that chose its settings; empty: the run was not tuned."""
    tuning, _ = read_tuning(folder)
    return {each.label: len(each.trials) for each in tuning.contestants} if tuning else {}


def _contestant(each: analysis.TunedContestant, floor: float | None, metric: Metric) -> TunedContestant:
    none = "none of its trials gave a validation score"
    return build_section(
        TunedContestant,
        each,
        reasons={"selected": none, "validation": none},
        trials=[_tried(trial) for trial in each.trials],
        selected=each.selected.draw if each.selected else None,
        settings=each.selected.settings if each.selected else {},
        validation=each.selected.validation if each.selected else None,
        expected_best=[] if floor is None else analysis.expected_bests(each, floor, metric),
        cautions=list(each.cautions),
    )


def _tried(trial: TuningTrial) -> TriedSettings:
    why = f"the trial {trial.outcome or 'did not run'}: {trial.reason or 'no reason was recorded'}"
    return build_section(TriedSettings, trial, reasons={"validation": why})


def _trial(
    plan: TuningPlan, state: RunState, label: str, draw: int, settings: Mapping[str, Any]
) -> TuningTrial:
    trial = state.trials.get(f"{tuning_label(label, draw)}.s{plan.seed}")
    if trial is None:
        return TuningTrial(draw, settings, "", "it did not begin", None, 0.0)
    done = trial.outcome in ("completed", "early-stopped") and trial.best is not None
    score = trial.best.metrics.get(state.select_by) if done and trial.best else None
    kept = score if score is not None and math.isfinite(score) else None
    return TuningTrial(draw, settings, trial.outcome or "", trial.reason, kept, trial.train_s)


def _cautions(
    plan: TuningPlan, spec: Spec, trials: Sequence[TuningTrial], best: TuningTrial | None
) -> Iterator[str]:
    failed = [trial for trial in trials if trial.validation is None]
    if best is None:
        yield f"none of its {len(trials)} trials gave a validation score: the final run leaves it out"
    elif failed:
        how = " and ".join(sorted({trial.outcome or "not begun" for trial in failed}))
        yield f"{len(failed)} of its {len(trials)} trials gave no validation score ({how})"
    for key, value in (best.settings if best else {}).items():
        where, own = plan.space[key], own_value(spec, key)
        if isinstance(where, Range) and not _EDGE <= (at := position(where, own, value)) <= 1 - _EDGE:
            end = "lower" if at < _EDGE else "upper"
            yield f"the selected {key} = {value:g} lies at the {end} edge of its range: widen [tune]"
