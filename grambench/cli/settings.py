"""Settings of a run from command-line options."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Options:
    """Command-line options that stand for settings."""

    assignments: tuple[str, ...] = ()
    strategies: str | None = None
    seeds: str | None = None
    device: str | None = None
    data_dir: Path | None = None
    schedule: str | None = None
    null_test: bool = False
    repeats: int | None = None
    until_decided: int | None = None
    decide: str | None = None
    trials: tuple[str, ...] = ()
    nproc: str | None = None
    """A number of ranks, or `gpu`: one for each GPU."""
    nnodes: int | None = None
    endpoint: str | None = None

    def changes(self) -> list[str]:
        """The options as assignments, `table.key=value`."""
        changes = list(self.assignments)
        if self.strategies is not None:
            changes.append(f"training.strategies=[{_quoted(self.strategies)}]")
        if self.seeds is not None:
            changes.append(f"training.seeds='{self.seeds}'")
        if self.device is not None:
            changes.append(f'device="{self.device}"')
        if self.data_dir is not None:
            changes.append(f"data.dir='''{self.data_dir.expanduser().absolute()}'''")
        if self.schedule is not None:
            changes.append(f'schedule="{self.schedule}"')
        if self.null_test:
            changes.append("null_test=true")
        if self.repeats is not None:
            changes.append(f"training.repeats={self.repeats}")
        if self.until_decided is not None:
            changes.append(f"training.until_decided={self.until_decided}")
        if self.decide is not None:
            changes.append(f"training.decide='{self.decide}'")
        return [*changes, *self.ranks()]

    def ranks(self) -> list[str]:
        """The options that say how many ranks train a trial, as assignments."""
        changes = []
        if self.nproc is not None:
            changes.append(f"ranks.nproc={self.nproc}")
        if self.nnodes is not None:
            changes.append(f"ranks.nnodes={self.nnodes}")
        if self.endpoint is not None:
            changes.append(f"ranks.endpoint='{self.endpoint}'")
        return changes

    def sets(self, key: str) -> bool:
        """Whether an option or `--set` stands for a setting."""
        return any(change.partition("=")[0].strip() == key for change in self.changes())

    @property
    def sets_seeds(self) -> bool:
        """Whether the user chooses how often each strategy is trained."""
        return any(self.sets(f"training.{name}") for name in ("seeds", "repeats", "until_decided"))

    def resolve(self, preset: str) -> Spec:
        """The specification of a preset with these changes.

        With a data folder and the preset of users' own data, or none, the folder's format is recognised.

        Raises:
            ConfigError: a setting that cannot be used, or no known format.
            DataError: there is no such folder.
        """
        recognised: tuple[str, ...] = ()
        if self.data_dir is not None:
            preset, recognised = own_preset(preset, self.data_dir.expanduser(), self.assignments)
        spec = load_preset(preset, [*recognised, *self.changes()], self.trials)
        if spec.data.is_generated and spec.data.dir is not None:
            raise ConfigError(
                f"{preset} generates its data, so it reads no folder.",
                "Leave it out, name one that reads a folder (modern-my-news), or add --set data.source=mind.",
            )
        return spec


def is_own(preset: str) -> bool:
    """Whether a preset is one of users' own data, or is not named and follows from the data."""
    from grambench.domains.registry import PACKAGES, domain_of

    return not preset or _base(preset) in {domain_of(domain).preset for domain in PACKAGES}


def _base(preset: str) -> str:
    """The preset whose data, model and filter `modern-…` trains."""
    return preset.removeprefix("modern-")


def own_preset(preset: str, folder: Path, assignments: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """The preset of users' own data for a folder's format, and the settings that select it.

    Any other preset that is given is left as it is, and so is a `data.source` among the assignments.

    Raises:
        ConfigError: the folder holds no known format, or several.
        DataError: there is no such folder.
    """
    from grambench.config.data import SOURCES
    from grambench.domains.recognise import recognise
    from grambench.domains.registry import domain_of

    if not is_own(preset):
        return preset, ()
    given = [
        value.strip("\"' ") for key, _, value in map(_parted, assignments) if key.strip() == "data.source"
    ]
    if given:
        if given[-1] not in SOURCES:
            raise ConfigError(f"data.source is {given[-1]!r}.", f"Known are {', '.join(SOURCES)}.")
        return preset or domain_of(SOURCES[given[-1]]).preset, ()
    found = recognise(folder)
    own = domain_of(found.domain).preset
    if preset and _base(preset) != own:
        raise ConfigError(
            f"{folder} holds data of {found.domain} ({found.source}), which {preset} does not train on.",
            f"Use --preset {own}." if own else "",
        )
    return preset or own, found.settings


def _parted(assignment: str) -> tuple[str, str, str]:
    return assignment.partition("=")


def resolve(
    preset: str,
    assignments: list[str],
    strategies: str | None = None,
    device: str | None = None,
    data_dir: Path | None = None,
) -> Spec:
    """The specification of a command line; options are short forms of `--set`.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    return Options(tuple(assignments), strategies, None, device, data_dir).resolve(preset)


def _quoted(names: str) -> str:
    return ", ".join(f'"{name.strip()}"' for name in names.split(",") if name.strip())
