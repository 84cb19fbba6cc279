"""The verdict and the self-grade of a run's state, for people: dashboard and terminal end with them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grambench.analysis.compared import Compared
from grambench.analysis.grade import Grade, grade
from grambench.analysis.grade_facts import facts_of
from grambench.analysis.pairs import margin_of
from grambench.analysis.ranking import Place, places, scores_by_label
from grambench.errors import DataError
from grambench.events.state import RunState
from grambench.reports.comparisons import compared_in
from grambench.reports.runfile import read_run_file


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run says."""

    compared: tuple[Compared, ...]
    """The first is the primary comparison."""
    grade: Grade | None
    """None: nothing was trained, or the folder has no readable `run.json`."""
    places: tuple[Place, ...] = ()
    """Labels by their test score, best first; empty for fewer than three."""


def verdict_of(state: RunState, folder: Path) -> Verdict:
    """The same as in the report; while the run is in progress, of the trials that have ended.

    `folder`: of the run, with `run.json` and the scores by impression.
    """
    if not state.finished:
        state = replace(state, trials={name: each for name, each in state.trials.items() if each.ended})
    spec, host = recorded(folder)
    compared = compared_in(state, spec, folder)
    trained = any(trial.progress for trial in state.trials.values())
    graded = grade_of(state, spec, host, compared) if host and trained else None
    return Verdict(tuple(compared), graded, tuple(places(scores_by_label(state), state.metric.better)))


def grade_of(state: RunState, spec: dict[str, Any], host: dict[str, Any], compared: list[Compared]) -> Grade:
    """The self-grade, `resolution` held against the run's own margin."""
    facts = facts_of(state, spec, host, compared)
    return grade(facts.numbers, facts.not_applicable, {"resolution": margin_of(spec)})


def recorded(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Specification and machine; empty where there is no readable `run.json`."""
    try:
        run = read_run_file(folder)
    except DataError:
        return {}, {}
    return run.spec, run.host
