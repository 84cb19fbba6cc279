"""What a run would do: its settings, and for `--dry-run` also its data, model, memory and time."""

import json

from pydantic_core import to_jsonable_python

from grambench.cli.output import say, say_json
from grambench.cli.own_data import Found, look, plan, with_seeds
from grambench.cli.settings import Options, is_own
from grambench.config.reads import settings_read
from grambench.config.spec import Spec
from grambench.hub import require_usable


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


def print_plan(spec: Spec, found: Found, *, as_json: bool) -> None:
    """Settings and plan; as JSON, one document.

    Raises:
        ConfigError: the model is here and cannot be used.
    """
    if spec.encoder.model is not None:
        require_usable(spec.encoder.model, spec.encoder.revision)
    settings = {key: value for key, value, _ in settings_read(spec)}
    lines = list(plan(spec, found))
    if as_json:
        values = {key: to_jsonable_python(value) for key, value in settings.items()}
        say_json(json.dumps({"preset": spec.name, "settings": values, "plan": lines}))
        return
    for key, value in settings.items():
        say(f"{key} = {value}")
    say("\n" + "\n".join(lines))
