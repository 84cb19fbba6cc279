"""Presets: TOML files with `extends`, found by name or path, changed by `--set table.key=value`."""

import difflib
import json
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from grambench.config.paths import shipped
from grambench.config.refusals import refusal
from grambench.config.renamed import new_key, with_new_names
from grambench.config.spec import Spec
from grambench.config.table import inner_table, settings
from grambench.errors import ConfigError
from grambench.text import redacted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
_RIVALS = (
    ("encoder", "model", "architecture"),
    ("language_model", "model", "architecture"),
    ("training", "seeds", "until_decided"),
)
"""Table and two of its settings, of which the one that is given later replaces the other."""


def presets_folder() -> Path:
    """`presets/` of the installed package, or of the checkout."""
    return shipped("presets", "presets")


def preset_names() -> list[str]:
    """Names of the presets that come with grambench, sorted."""
    return sorted(path.stem for path in presets_folder().glob("*.toml") if not path.stem.startswith("_"))


def load_preset(name: str, assignments: Sequence[str] = (), trials: Sequence[str] = ()) -> Spec:
    """Resolve a preset and validate it.

    With several devices the schedule is `parallel`, unless the user sets it.

    Args:
        name: a preset's name, or a path that ends in `.toml`.
        assignments: `table.key=value` each; the value is TOML, else a plain string.
        trials: `label: strategy, table.key=value` each, in place of the preset's trials.

    Raises:
        ConfigError: no such preset, a TOML error, an unknown key, a value out of its range.
    """
    try:
        "".join((*assignments, *trials)).encode()
        return _loaded(find_preset(name), assignments, trials)
    except RecursionError as error:
        raise ConfigError(f"{name}: tables are nested too deeply.", "Settings are TABLE.KEY.") from error
    except UnicodeEncodeError as error:
        raise ConfigError(f"A setting of {name} is not valid UTF-8.", "Write it again.") from error
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror or error}.") from error


def _loaded(path: Path, assignments: Sequence[str], trials: Sequence[str]) -> Spec:
    own: set[str] = set()
    tables = _resolve(path, (), own)
    changes: dict[str, Any] = {}
    for assignment in assignments:
        _assign(changes, assignment)
    given = {new_key(assignment.partition("=")[0].strip()) for assignment in assignments}
    if trials:
        changes["trials"] = [_trial(words) for words in trials]
    if trials or "training.strategies" in given:
        given.add("trials")
    merged = _over(tables, _renamed(changes, "command line"))
    if _has_several_places(merged) and "schedule" not in given | own:
        merged["schedule"] = "parallel"
    spec = validate(merged, str(path), frozenset(given))
    _refuse_secrets(spec, str(path))
    return spec


def _has_several_places(tables: Mapping[str, Any]) -> bool:
    """Whether there are more devices than the ranks of one trial."""
    ranks, devices = tables.get("ranks"), str(tables.get("device")).split(",")
    nproc = ranks.get("nproc") if isinstance(ranks, dict) else 1
    return len(devices) > (nproc if isinstance(nproc, int) else 1)


def _refuse_secrets(spec: Spec, origin: str) -> None:
    """Settings are written into run.json, logs and reports."""
    for key, value, _ in settings(spec):
        if redacted(str(value)) != str(value):
            raise ConfigError(
                f"{origin}: {key} holds a password or a token, which run.json and the report would show.",
                "Leave it out of the setting; the hub's token is read from HF_TOKEN or `hf auth login`.",
            )


def find_preset(name: str) -> Path:
    """The file of a preset.

    Raises:
        ConfigError: it does not exist; the message names the nearest one.
    """
    if name.endswith(".toml") or "/" in name:
        path = Path(name).expanduser()
        if path.is_file():
            return path
        raise ConfigError(f"The preset file {name} does not exist.", "Give a path to a .toml file.")
    path = presets_folder() / f"{name}.toml"
    if path.is_file() and not name.startswith("_"):
        return path
    names = preset_names()
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}."
    raise ConfigError(f"There is no preset {name!r}.", f"{meant} `grambench presets` lists them.")


def validate(tables: Mapping[str, Any], origin: str, given: frozenset[str] = frozenset()) -> Spec:
    """Build the specification of merged tables.

    Args:
        tables: the settings.
        origin: where they come from, for messages.
        given: dotted keys that came from the command line instead.

    Raises:
        ConfigError: the first problem, with file, key, value and the nearest valid key.
    """
    if tables.get("trials") and _strategies(tables):
        raise ConfigError(
            f"{_origin('trials', origin, given)}: training.strategies and trials are both given.",
            "Keep one of them: the list is the short form of trials without settings of their own.",
        )
    try:
        return Spec.model_validate(_tuples(tables))
    except ValidationError as error:
        raise _explain(error, origin, given) from error


def with_changes(spec: Spec, assignments: Sequence[str]) -> Spec:
    """The specification with some settings changed.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        _assign(changes, assignment)
    given = frozenset(assignment.partition("=")[0] for assignment in assignments)
    try:
        return Spec.model_validate_json(json.dumps(_merge(spec.model_dump(mode="json"), changes)))
    except ValidationError as error:
        raise _explain(error, "command line", given) from error


def _resolve(path: Path, seen: tuple[Path, ...], own: set[str]) -> dict[str, Any]:
    """The tables of a preset; `own` gets the names that the user's files set."""
    path = path.resolve()
    if path in seen:
        chain = " -> ".join(p.name for p in (*seen, path))
        raise ConfigError(f"Presets extend each other in a circle: {chain}.", "Remove one `extends`.")
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except (ValueError, RecursionError) as error:  # also for whole numbers of thousands of digits
        raise ConfigError(f"{path} is not valid TOML: {str(error).partition(';')[0]}.") from error
    tables = _renamed(tables, str(path))
    if path.parent != presets_folder().resolve():
        own.update(tables)
    parent = tables.pop("extends", None)
    if parent is None:
        return tables
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends must name one preset, not {parent!r}.")
    sibling = path.parent / f"{parent}.toml"
    base = _resolve(sibling if sibling.is_file() else find_preset(parent), (*seen, path), own)
    return _over(base, tables)


def _renamed(tables: dict[str, Any], origin: str) -> dict[str, Any]:
    """The tables under today's names; warns where they had older ones."""
    try:
        renamed, used = with_new_names(tables)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}.") from error
    if used:
        names = ", ".join(f"{old} is now {new}" for old, new in used.items())
        warnings.warn(
            f"{origin}: {names}; old names are read until version 0.3.", FutureWarning, stacklevel=2
        )
    return renamed


def _over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """A child's tables over its parent's.

    Its `model` takes the place of the parent's `architecture`, its `until_decided` that of the parent's
    `seeds`, its `trials` that of the parent's `training.strategies`, and the other way round; these may
    name trials of the parent by their labels.
    """
    merged = _merge(base, top)
    if top.get("trials") and not _strategies(top) and _strategies(merged):
        merged["training"] = _without(merged["training"], "strategies")
    elif _strategies(top) and not top.get("trials"):
        named = _named(_strategies(top), merged.pop("trials", None))
        if named:
            merged |= {"trials": named, "training": _without(merged["training"], "strategies")}
    for table, one, other in _RIVALS:
        chosen = top.get(table)
        if not isinstance(chosen, Mapping):
            continue
        for key, rival in ((one, other), (other, one)):
            if key in chosen and rival not in chosen:
                merged[table] = _without(merged[table], rival)
    return merged


def _without(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


def _strategies(tables: Mapping[str, Any]) -> Any:
    training = tables.get("training")
    return training.get("strategies") if isinstance(training, Mapping) else None


def _named(names: Any, entries: Any) -> list[Any]:
    """Trials of a preset by their labels, other names as strategies; empty: none has own settings."""
    if not (isinstance(names, list) and isinstance(entries, list)):
        return []
    tables = [entry for entry in entries if isinstance(entry, dict)]
    labelled = {entry.get("label") or entry.get("strategy"): entry for entry in tables}
    found = [labelled.get(name, {"strategy": name}) for name in names]
    return found if any(len(entry) > 1 for entry in found) else []


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in top.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _assign(tables: dict[str, Any], assignment: str) -> None:
    key, sign, text = assignment.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts):
        raise ConfigError(
            f"--set {assignment} has no value.", "Write --set table.key=value, for example training.epochs=3."
        )
    table = tables
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {assignment}: {part} is not a table.")
    if isinstance(table.get(parts[-1]), dict):
        raise ConfigError(f"{key.strip()} is given as a table and as a value.", "Keep one of them.")
    table[parts[-1]] = _value(text.strip(), parts)


def _trial(words: str) -> dict[str, Any]:
    """An entry of `trials` from the words of `--trial`."""
    head, *assignments = (part.strip() for part in words.split(","))
    label, colon, strategy = head.rpartition(":")
    pairs = [assignment.partition("=") for assignment in assignments]
    is_read = strategy and "=" not in head and (label or not colon)
    if not is_read or not all(key.strip() and sign for key, sign, _ in pairs):
        raise ConfigError(
            f"--trial {words!r} cannot be read.",
            "Write --trial 'label: strategy, table.key=value', for example"
            " --trial 'fast: gram-1e, encoder_optimizer.lr=3e-4'.",
        )
    settings = {key.strip(): _value(value.strip(), key.strip().split(".")) for key, _, value in pairs}
    return {"label": label.strip(), "strategy": strategy.strip(), "settings": settings}


def _value(text: str, path: Sequence[str]) -> Any:
    """The value of a setting in words; `none` unsets it, unless that is one of its values."""
    info = _info(path)
    if text in ("none", "null") and (info is None or text not in get_args(info.annotation)):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _tuples(value: Any) -> Any:
    """TOML's arrays as tuples, as the strict models want them."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _explain(error: ValidationError, origin: str, given: frozenset[str]) -> ConfigError:
    problem, *others = error.errors()
    path = _path(problem)
    key = ".".join(path) or "the specification"
    words = refusal([problem, *(other for other in others if _path(other) == path)])
    named = words.partition(" ")[0]
    if "." in named and _info(named.split(".")) is not None:  # of several settings: the sentence says which
        return ConfigError(f"{_origin(named, origin, given)}: {words}.")
    origin = _origin(key, origin, given)
    if problem["type"] == "extra_forbidden":
        known = _keys_of(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        fix = f"Did you mean {'.'.join([*path[:-1], near[0]])!r}?" if near else f"Known: {', '.join(known)}."
        return ConfigError(f"{origin}: there is no setting {key!r}.", fix)
    if path[:1] == ["trials"] and problem["type"] == "value_error":
        words, _, fix = words.partition("; ")
        question = "?" if fix.startswith("did you") else "."
        return ConfigError(
            f"{origin}: {key}: {words}.", f"{fix[:1].upper()}{fix[1:]}{question}" if fix else ""
        )
    info = _info(path)
    described = " ".join((info.description or "").split()) if info is not None else ""
    meaning = f"It means: {described}" if described else ""
    return ConfigError(f"{origin}: {key}: {words}.", meaning)


def _path(problem: "ErrorDetails") -> list[str]:
    """Table and setting of a problem, without the place in a list or the kind of value that it may be."""
    path = [part for part in problem["loc"] if isinstance(part, str)]
    return [part for i, part in enumerate(path) if i == 0 or _model(Spec, path[:i]) is not None]


def _origin(key: str, origin: str, given: frozenset[str]) -> str:
    """Where a setting comes from, for messages."""
    return "command line" if any(f"{key}.".startswith(f"{known}.") for known in given) else origin


def _keys_of(path: Sequence[str]) -> list[str]:
    model = _model(Spec, path)
    return list(model.model_fields) if model is not None else []


def _info(path: Sequence[str]) -> FieldInfo | None:
    model = _model(Spec, path[:-1]) if path else None
    return model.model_fields.get(path[-1]) if model is not None else None


def _model(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """The table's model at a dotted path."""
    for part in path:
        info = model.model_fields.get(part)
        table = inner_table(info) if info is not None else None
        if table is None:
            return None
        model = table
    return model
