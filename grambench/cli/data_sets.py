"""The data sets that grambench knows by name, and what a name on the command line means."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from grambench.cli.settings import resolve
from grambench.config.data import Data
from grambench.config.paths import cache_dir, dataset_dir
from grambench.config.presets import load_preset, preset_names
from grambench.config.spec import Spec
from grambench.errors import ConfigError, DataError

SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set and where it comes from."""

    name: str
    source: Literal["download", "folder", "generated"]
    """Fetched by `data prepare`, supplied by the user, or generated."""
    about: str
    preset: str
    """The preset that `data prepare NAME` uses."""


DATA_SETS = (
    DataSet("mind-small", "download", "Microsoft News, 50,000 users.", "mind-small"),
    DataSet("mind-large", "download", "Microsoft News, the complete data.", "mind-small"),
    DataSet("mind-demo", "download", "Microsoft News, a small excerpt to try things out.", "mind-small"),
    DataSet("goodreads", "folder", "Book histories in MIND's format, in your own folder.", "goodreads"),
    DataSet("duolingo-es", "folder", "Duolingo SLAM 2018, Spanish (doi 10.7910/DVN/8SWHNO).", "duolingo-es"),
    DataSet("duolingo-fr", "folder", "Duolingo SLAM 2018, French (doi 10.7910/DVN/8SWHNO).", "duolingo-fr"),
    DataSet("poj", "folder", "Submissions to Peking University's judge, with your own texts.", "poj"),
    DataSet("ednet", "folder", "EdNet KT1 (github.com/riiid/ednet), with your own texts.", "ednet"),
    DataSet("assist2009", "folder", "ASSISTments 2009 as plain tables (`data convert`).", "assist2009"),
    DataSet(SYNTHETIC, "generated", "Synthetic news with planted tastes, in MIND's format.", "demo"),
)


def folder_of(data_set: DataSet) -> Path:
    """Where a data set is or would be stored (synthetic data: one subfolder for each size and seed)."""
    return cache_dir() / "synthetic" if data_set.name == SYNTHETIC else dataset_dir(data_set.name)


def is_there(data_set: DataSet) -> bool:
    """Whether both splits are complete (MIND), or the folder holds anything (other data)."""
    folder = folder_of(data_set)
    if data_set.name == SYNTHETIC:
        return folder.is_dir() and any(path.is_dir() and path.name[0] != "." for path in folder.iterdir())
    if resolve(data_set.preset, [], data_dir=None).data.source != "mind":
        return folder.is_dir() and any(folder.iterdir())
    return has_splits(folder)


def has_splits(folder: Path) -> bool:
    """Whether a folder holds train and dev, each with its news.tsv and behaviors.tsv."""
    from grambench.domains.news.formats.mind_folder import find_split

    try:
        return all(find_split(folder, split) is not None for split in ("train", "dev"))
    except DataError:
        return False


def spec_of(name: str, assignments: Sequence[str], data_dir: Path | None) -> Spec:
    """The specification for a preset's name or path, or a data set's name.

    Raises:
        ConfigError: it is none of these, a setting cannot be used, or generated data is given a folder.
    """
    changes = list(assignments)
    if is_preset(name):
        spec = resolve(name, changes, data_dir=data_dir)
    else:
        known = {data_set.name: data_set for data_set in DATA_SETS}
        if name not in known:
            raise _unknown(name, [*preset_names(), *known])
        if name != SYNTHETIC:
            changes.insert(0, f'data.dataset="{name}"')
        spec = resolve(known[name].preset, changes, data_dir=data_dir)
    return spec


def is_preset(name: str) -> bool:
    """Whether a name is that of a preset, or looks like the path of one."""
    return name.endswith(".toml") or "/" in name or name in preset_names()


def described(data_set: DataSet) -> dict[str, Any]:
    """What `data list` says about a data set."""
    from grambench.domains.news.checksums import KNOWN_FILES
    from grambench.domains.news.fetch import LICENCE

    licences = {
        "download": LICENCE,
        "folder": "That of your copy: grambench neither fetches nor ships it.",
        "generated": "None needed: all of it is generated.",
    }
    files = KNOWN_FILES.get(data_set.name)
    return {
        "name": data_set.name,
        "about": data_set.about,
        "source": data_set.source,
        "folder": str(folder_of(data_set)),
        "there": is_there(data_set),
        "unpacked_bytes": sum(file.bytes for file in files.values()) if files else None,
        "licence": licences[data_set.source],
    }


def folder_to_verify(name: str, data_dir: Path | None) -> Path:
    """The folder to verify: `data_dir`, else that of a preset or data set, or the one named.

    Raises:
        ConfigError: the preset cannot be used, or its data is generated and no folder is given.
    """
    if data_dir is not None or _is_folder(name):
        return (data_dir or Path(name)).expanduser()
    data = load_preset(name).data if is_preset(name) else Data(dataset=name)
    if data.is_generated:
        raise ConfigError(
            f"The data of {name} is generated when it is prepared.",
            "Write a copy with `grambench data synth --out DIR` and pass it with --data-dir.",
        )
    return Path(data.dir or dataset_dir(data.dataset)).expanduser()


def data_to_verify(name: str, folder: Path, assignments: Sequence[str]) -> Data:
    """The settings to read a folder with: the preset's, but the folder's own format if that is another.

    Raises:
        ConfigError: a setting cannot be used; the folder holds several formats; or it is named itself, and
            holds no known one.
    """
    from grambench.domains.recognise import candidates, recognise

    is_named = folder == Path(name).expanduser() and folder.is_dir()
    preset, label = (name, "") if is_preset(name) and not is_named else ("my-news", name)
    if is_named:
        label = folder.resolve().name
    changes = [f"data.dataset={json.dumps(label)}"] if label else []
    held = [one.source for one in candidates(folder)] if folder.is_dir() else []
    data = load_preset(preset, assignments).data
    if any(change.startswith("data.source") for change in assignments) or (not label and data.source in held):
        pass
    elif held or is_named:
        changes += recognise(folder).settings
    elif label or data.is_generated:
        changes.append("data.source=mind")
    return load_preset(preset, [*changes, *assignments]).data


def _is_folder(name: str) -> bool:
    """Whether a name is the path of a folder and not a known name."""
    is_known = name in {*preset_names(), *(data_set.name for data_set in DATA_SETS)}
    return not is_known and Path(name).expanduser().is_dir()


def _unknown(name: str, known: list[str]) -> ConfigError:
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"Did you mean {near[0]!r}?" if near else f"Known names: {', '.join(names)}."
    return ConfigError(
        f"{name!r} is neither a preset nor a known data set.",
        f"{meant} For your own folder, name a preset: `data prepare mind-small --data-dir DIR`.",
    )
