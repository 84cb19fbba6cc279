"""What a run would do: its settings, and for `--dry-run` also its data, model, memory and time."""

import dataclasses
import json
from collections.abc import Callable

from pydantic_core import to_jsonable_python
from rich.table import Table

from grambench.cli.estimate import in_words
from grambench.cli.output import say, say_json
from grambench.cli.own_data import Found, look, plan, weights_of, with_seeds
from grambench.cli.screen import wide_screen
from grambench.cli.settings import Options, is_own
from grambench.config.reads import settings_read
from grambench.config.spec import Spec
from grambench.errors import ConfigError
from grambench.events.types import TrialForecast
from grambench.hub import require_usable
from grambench.runner.forecast import Forecasts, measure
from grambench.text import safe_text
from grambench.views import numbers


def resolved(options: Options, preset: str, *, with_data: bool) -> tuple[Spec, Found | None]:
    """The settings, with what grambench chooses itself, which is said on stderr; and what the data holds.

    Args:
        options: of the command line.
        preset: its name or file; empty: what recognises the data decides.
        with_data: look at the data of every preset, not only of those for own data.

    Raises:
        GrambenchError: a setting, or the data, cannot be used.
    """
    spec = options.resolve(preset)
    if len(spec.places) > 1 and not options.sets("schedule"):
        on = "each" if spec.ranks.nproc == 1 else f"{spec.ranks.nproc} of them"
        say(f"{len(spec.devices)} devices: schedule {spec.schedule}, a trial on {on}", err=True)
    if not is_own(preset):
        return spec, look(spec) if with_data else None
    found = look(spec)
    if not options.sets_seeds:
        spec, why = with_seeds(options, preset, spec, found)
        say(why, err=True)
    return spec, found


def print_plan(spec: Spec, found: Found, *, as_json: bool, probes: bool = True) -> None:
    """Settings, plan and, with `probes`, what each trial would cost; as JSON, one document.

    Raises:
        ConfigError: the model is here and cannot be used; or, once all is printed, a run would refuse the
            settings of a trial.
    """
    if spec.encoder.model is not None:
        require_usable(spec.encoder.model, spec.encoder.revision)
    settings = {key: value for key, value, _ in settings_read(spec)}
    lines = list(plan(spec, found))
    if as_json:
        values = {key: to_jsonable_python(value) for key, value in settings.items()}
        document = {"preset": spec.name, "settings": values, "plan": lines}
        forecasts = _measured(spec, found, probes, quiet=True)
        told = {"why": forecasts} if isinstance(forecasts, str) else dataclasses.asdict(forecasts)
        say_json(json.dumps({**document, "forecast": told}))
        _require_accepted(forecasts)
        return
    for key, value in settings.items():
        say(f"{key} = {_shown(value)}")
    say("\n" + "\n".join(lines))
    forecasts = _measured(spec, found, probes)
    if isinstance(forecasts, str):
        say(f"forecast: none ({safe_text(forecasts, 400)})")
        return
    _print_forecasts(spec, forecasts)
    _require_accepted(forecasts)


def _require_accepted(forecasts: Forecasts | str) -> None:
    if isinstance(forecasts, str):
        return
    labels: dict[str, list[str]] = {}
    for label in forecasts.refused:
        labels.setdefault(forecasts.failed[label], []).append(label)
    if labels:
        raise ConfigError(" ".join(f"{', '.join(named)}: {why}" for why, named in labels.items()))


def _shown(value: object) -> str:
    """A setting's value; of `trials` a line for each."""
    if isinstance(value, tuple) and any(isinstance(entry, dict) for entry in value):
        return "".join(f"\n  {entry}" for entry in value)
    return str(value)


def _measured(spec: Spec, found: Found, probes: bool, quiet: bool = False) -> Forecasts | str:
    """What the trials would cost, or why it is not known."""
    if not probes:
        return "--no-probe"
    if not found.is_here:
        return "the data is not here yet"
    model = spec.encoder.model
    if model is not None and weights_of(model, spec.encoder.revision) is None:
        return "the model is not here yet"
    if not quiet:
        say("measuring what each trial would cost, 5 to 20 s; --no-probe skips it", err=True)
    return measure(spec)


_COLUMNS: dict[str, Callable[[TrialForecast], str]] = {
    "s/epoch": lambda each: numbers.seconds(each.epoch_s),
    "peak GiB": lambda each: numbers.gib(each.peak_bytes),
    "R batch": lambda each: numbers.ratio(each.reuse_of_batch),
    "R encoded": lambda each: numbers.ratio(each.reuse_ratio),
    "R epoch": lambda each: numbers.ratio(each.reuse_of_epoch),
    "items/epoch": lambda each: numbers.count(each.items_per_epoch),
    "tokens/epoch": lambda each: numbers.count(each.tokens_per_epoch),
}
"""Title -> what it shows of a forecast."""


def _print_forecasts(spec: Spec, forecasts: Forecasts) -> None:
    """One row a trial, what could not be measured, and what all of it leaves out."""
    threads = f"{forecasts.threads} thread{'s' if forecasts.threads != 1 else ''}"
    where = f"{safe_text(forecasts.device)}, {threads}"
    alone = "one process" if spec.ranks.size == 1 else f"for one process, not for {spec.ranks.size} ranks"
    say(f"forecast, measured in {forecasts.seconds:.0f} s on {where} ({alone}; validation comes on top):")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial")
    for title in _COLUMNS:
        table.add_column(title, justify="right")
    for label, each in forecasts.trials.items():
        table.add_row(safe_text(label), *(cell(each) for cell in _COLUMNS.values()))
    wide_screen().print(table)
    for label, each in forecasts.trials.items():
        if each.note:
            say(f"{safe_text(label)}: {each.note}")
    for label, why in forecasts.failed.items():
        if label not in forecasts.refused:
            say(f"{safe_text(label)}: no forecast ({safe_text(why, 400)})")
    _print_sum(spec, forecasts)


def _print_sum(spec: Spec, forecasts: Forecasts) -> None:
    """Training seconds of all trials that are predicted; each has its own number of epochs."""
    known = {label: each for label, each in forecasts.trials.items() if each.epoch_s is not None}
    if spec.training.max_steps or forecasts.failed or not known:
        return
    epochs = {entry.label: spec.with_own(entry).training.epochs for entry in spec.entries}
    seeds = len(spec.training.seeds) * spec.training.repeats
    all_s = seeds * sum(epochs[label] * (each.epoch_s or 0) + each.once_s for label, each in known.items())
    others = [safe_text(label) for label in forecasts.trials if label not in known]
    whose = f"all trials but {', '.join(others)}" if others else "all trials"
    say(f"training of {whose}: {in_words(all_s)}, if all epochs run, one after the other")
