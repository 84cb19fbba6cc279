"""Builds the report's part about the trained part of a trial's encoder from the folded state."""

from typing import Any

from grambench.analysis.encoder_work import EncoderWork, break_even_epochs, encoder_work
from grambench.config.kept import read_kept
from grambench.config.spec import Spec
from grambench.config.trial_name import TrialName
from grambench.errors import ConfigError
from grambench.events.state import TrialState
from grambench.reports.adaptation_schema import Adaptation, Work, not_adapted
from grambench.reports.section import build_section

_NOT_CACHED = "no states are cached"
_NOT_KNOWN = (
    "no item was encoded yet, the strategy trains another encoder or none, or the specification cannot be"
    " read here"
)
_NO_LAYER = "no layer is left to run in a step"
_UNCOUNTED = "items encoded without a gradient are not counted apart"


def build_adaptation(trial: TrialState, spec: dict[str, Any]) -> Adaptation:
    """What is trained, what its cache has cost, and which factors save the encoder's work."""
    plan, states = trial.plan, trial.states
    if plan is None or plan.layers is None:
        return not_adapted()
    own = _own_spec(trial, spec)
    return build_section(
        Adaptation,
        plan,
        reasons={"break_even_epochs": _NOT_CACHED if states is None else "no epoch was finished"},
        otherwise=_NOT_CACHED,
        cache_bytes=states.bytes if states else None,
        cache_dtype=states.dtype if states else None,
        cache_on_device=states.on_device if states else None,
        cache_s=states.seconds if states else None,
        cache_built=states.built if states else None,
        train_s_without_cache=trial.train_s - states.seconds if states and trial.progress else None,
        break_even_epochs=break_even_epochs(trial),
        work=_work(encoder_work(own, trial) if own is not None else None),
    )


def _work(found: EncoderWork | None) -> Work:
    if found is None:
        return build_section(Work, None, otherwise=_NOT_KNOWN)
    return build_section(Work, found, otherwise=_NO_LAYER if found.cached_layers is None else _UNCOUNTED)


def _own_spec(trial: TrialState, spec: dict[str, Any]) -> Spec | None:
    """The run's settings with the trial's own; None: they cannot be read here, as without a plug-in."""
    name = TrialName.parse(trial.name)
    try:
        run = read_kept(spec)
        return run.with_own(run.entry(name)) if name is not None else None
    except (ConfigError, ValueError, TypeError, AttributeError):
        return None
