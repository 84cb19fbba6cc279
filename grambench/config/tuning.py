"""Equal tuning: the same draws for every contestant, as the trials of an ordinary run."""

import itertools
import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from grambench.config.presets import validate
from grambench.config.reads import is_read
from grambench.config.spec import Spec
from grambench.config.table import Positive, Table
from grambench.config.trials import LONGEST_LABEL, TrialEntry
from grambench.config.tune import DEFAULT_SPACE, Choices, Range
from grambench.errors import ConfigError

FIRST_SEED = 1000
"""The tuning's, if the final runs do not use it."""
MOST_DRAWS = 1000
"""Trials of a contestant at most."""
_DIGITS = 3
"""Significant digits of a drawn value."""
_TRIES = 1000
"""Points of the sequence for each draw: lists, and short ranges of whole numbers, have few different ones."""


class TuningPlan(Table):
    """A tuning as it was asked for; kept in the folder of the tuning run."""

    preset: str
    """Its name."""
    spec: dict[str, Any]
    """Specification of the final run with the contestants' own settings, JSON values."""
    budget: Positive
    """Trials of each contestant."""
    seed: int
    """Seed of these trials."""
    space: dict[str, Range | Choices]
    """Dotted setting -> where it was drawn from."""
    draws: tuple[dict[str, Any], ...]
    """Dotted setting -> value, one a trial; the first is empty: the contestant's own values."""


def plan_tuning(spec: Spec, preset: str, budget: int, seed: int | None = None) -> TuningPlan:
    """The draws and the seed of a tuning.

    Args:
        spec: of the final run, its `entries` being the contestants.
        preset: its name.
        budget: trials of each contestant.
        seed: of the tuning's trials; None: one that the final run does not use.

    Raises:
        ConfigError: names what cannot be tuned, and how to mend it.
    """
    if not 1 <= budget <= MOST_DRAWS:
        fix = f"Give each contestant 1 to {MOST_DRAWS:,} trials, such as 5."
        raise ConfigError(f"--budget is {budget}.", fix)
    if spec.data.protocol == "paper":
        raise ConfigError(
            "With data.protocol = paper the test part selects, and nothing may be tuned by it.",
            'Add --set data.protocol="honest".',
        )
    finals = spec.training.seeds
    if seed in finals:
        raise ConfigError(
            f"Seed {seed} is one of the final run's, which must be fresh.", "Give another --tune-seed."
        )
    _require_short_labels(spec, budget)
    space = _space(spec)
    return TuningPlan(
        preset=preset,
        spec=spec.model_dump(mode="json"),
        budget=budget,
        seed=next(s for s in itertools.count(FIRST_SEED) if s not in finals) if seed is None else seed,
        space=space,
        draws=tuple(draws(space, spec, budget)),
    )


def draws(space: Mapping[str, Range | Choices], spec: Spec, budget: int) -> list[dict[str, Any]]:
    """Settings of each trial, the same for every contestant; the first changes nothing.

    A Kronecker sequence, one irrational step per setting, that begins at the run's own value: every draw is
    far from the others, and a larger budget only adds draws.

    Args:
        space: dotted setting -> its range or choices.
        spec: of the run, for its own values.
        budget: number of draws.

    Raises:
        ConfigError: there are not so many different ones.
    """
    steps = [math.sqrt(prime) for prime in itertools.islice(_primes(), len(space))]
    own = {key: own_value(spec, key) for key in space}
    seen, found = {tuple(own.values())}, [dict[str, Any]()]
    for number in range(1, _TRIES * budget):
        if len(found) == budget:
            break
        draw = {k: _value(space[k], own[k], number * step) for k, step in zip(space, steps, strict=True)}
        if tuple(draw.values()) not in seen:
            seen.add(tuple(draw.values()))
            found.append(draw)
    if len(found) < budget:
        raise ConfigError(
            f"--budget is {budget}, but [tune] has {len(found)} different draws.",
            f"Use --budget {len(found)}.",
        )
    return found


def tuning_label(label: str, draw: int) -> str:
    """Label of a contestant's trial with one of the draws."""
    return f"{label}.t{draw}"


def drawn(plan: TuningPlan, spec: Spec, entry: TrialEntry, draw: int) -> dict[str, Any]:
    """The settings of a draw that a contestant reads."""
    own = spec.with_own(entry)
    return {k: v for k, v in plan.draws[draw].items() if is_read(own, k, (entry.strategy,))}


def tuning_spec(plan: TuningPlan, spec: Spec) -> Spec:
    """The tuning run: every contestant with every draw and one seed; the test part is not scored.

    A race would share the device among more trials: it is `sequential`, or `parallel` with several devices.

    Raises:
        ConfigError: a drawn value cannot be used.
    """
    trials = [
        entry.model_copy(
            update={
                "label": tuning_label(entry.label, draw),
                "settings": {**entry.settings, **drawn(plan, spec, entry, draw)},
            }
        )
        for entry in spec.entries
        for draw in range(plan.budget)
    ]
    changes: dict[str, Any] = {
        "name": f"{spec.name}-tuning",
        "schedule": "parallel" if len(spec.places) > 1 else "sequential",
        "null_test": False,
        "evaluation": {"test": False},
        "data": {"predictions": False},
        "training": {"seeds": (plan.seed,), "repeats": 1, "until_decided": None, "decide": None},
    }
    return _changed(spec, trials, changes)


def final_spec(plan: TuningPlan, spec: Spec, selected: Mapping[str, int]) -> Spec:
    """The final run: each contestant with the draw selected for it; others are left out.

    `selected`: contestant's label -> its draw.

    Raises:
        ConfigError: what is left cannot be run.
    """
    trials = [
        entry.model_copy(
            update={"settings": {**entry.settings, **drawn(plan, spec, entry, selected[entry.label])}}
        )
        for entry in spec.entries
        if entry.label in selected
    ]
    undecidable = spec.reference not in selected or spec.training.decide not in (None, *selected)
    changes = {"training": {"until_decided": None, "decide": None}} if undecidable else {}
    return _changed(spec, trials, changes)


def _changed(spec: Spec, trials: Sequence[TrialEntry], changes: Mapping[str, Any]) -> Spec:
    tables = spec.model_dump()
    for name, value in changes.items():
        tables[name] = {**tables[name], **value} if isinstance(value, dict) else value
    del tables["training"]["strategies"]
    return validate({**tables, "tune": {}, "trials": tuple(trial.table() for trial in trials)}, "tune")


def _require_short_labels(spec: Spec, budget: int) -> None:
    for entry in spec.entries:
        if len(label := tuning_label(entry.label, budget - 1)) > LONGEST_LABEL:
            raise ConfigError(
                f"The label {entry.label!r} is too long to be tuned: its trials are called up to {label!r},"
                f" and a label has {LONGEST_LABEL} characters at most.",
                "Give it a shorter label with --trial 'LABEL: STRATEGY', or in [[trials]].",
            )


def _space(spec: Spec) -> dict[str, Range | Choices]:
    """What is varied: `[tune]`, else the learning rates that a contestant reads.

    Raises:
        ConfigError: no contestant reads one of them, or a contestant none.
    """
    asked: Mapping[str, Range | Choices] = spec.tune.space or DEFAULT_SPACE
    readers = {
        key: [e.label for e in spec.entries if is_read(spec.with_own(e), key, (e.strategy,))] for key in asked
    }
    space = {key: values for key, values in asked.items() if readers[key]}
    if spec.tune.space and (unread := asked.keys() - space.keys()):
        raise ConfigError(f"tune: no contestant reads {min(unread)}.", "Remove it, or add one that does.")
    for key, where in space.items():
        own = own_value(spec, key)
        if isinstance(where, Range) and where.relative and not (_is_number(own) and own > 0):
            raise ConfigError(
                f"tune: {key} is {own!r}, and only a positive number has multiples.", "Leave `relative` out."
            )
    for entry in spec.entries:
        if not any(entry.label in readers[key] for key in space):
            raise ConfigError(
                f"tune: {entry.label} reads none of the tuned settings.",
                "Leave it out, or add one that it reads to [tune]; `grambench presets --explain` lists them.",
            )
    return space


def own_value(spec: Spec, key: str) -> Any:
    """The run's value of a dotted setting."""
    return attrgetter(key)(spec)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def bounds(where: Range, own: Any) -> tuple[float, float]:
    """Smallest and largest value of a range, for a run whose own value is `own`."""
    factor = own if where.relative else 1.0
    return where.low * factor, where.high * factor


def position(where: Range, own: Any, value: Any) -> float:
    """Where a value lies in a range: 0 at its lower end, 1 at its upper end."""
    low, high = bounds(where, own)
    return math.log(value / low) / math.log(high / low)


def _value(where: Range | Choices, own: Any, step: float) -> Any:
    """The value so many steps from the run's own, round the range."""
    if not isinstance(where, Range):
        first = where.index(own) if own in where else 0
        return where[(first + int(step % 1 * len(where))) % len(where)]
    low, high = bounds(where, own)
    start = position(where, own, own) if _is_number(own) and low <= own <= high else 0.0
    value = low * (high / low) ** ((start + step) % 1)
    return round(value) if type(own) is int else float(f"{value:.{_DIGITS}g}")


def _primes() -> "itertools.filterfalse[int]":
    return itertools.filterfalse(lambda n: any(n % d == 0 for d in range(2, n)), itertools.count(2))
