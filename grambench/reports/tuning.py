"""`tuning.json`: how the settings of a run were chosen, kept in its folder."""

from pathlib import Path

from grambench.analysis import tuning as analysis
from grambench.config.spec import Spec
from grambench.config.tuning import TuningPlan
from grambench.events.state import RunState
from grambench.fs import read_regular
from grambench.metrics.catalogue import Metric
from grambench.reports.runfile import RunFile
from grambench.reports.section import build_section
from grambench.reports.tuning_schema import TriedSettings, TunedContestant, Tuning

TUNING_FILE = "tuning.json"


def build_tuning(plan: TuningPlan, spec: Spec, run: RunFile, state: RunState) -> Tuning:
    """The table of an ended tuning run.

    Args:
        plan: of the tuning.
        spec: of its final run.
        run: what the tuning run's `run.json` holds.
        state: of the tuning run.
    """
    contestants = analysis.tuned_contestants(plan, spec, state)
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


def read_tuning(folder: Path) -> tuple[Tuning | None, str]:
    """The table in a run's folder, or None and why there is none."""
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


def _tried(trial: analysis.TuningTrial) -> TriedSettings:
    why = f"the trial {trial.outcome or 'did not run'}: {trial.reason or 'no reason was recorded'}"
    return build_section(TriedSettings, trial, reasons={"validation": why})
