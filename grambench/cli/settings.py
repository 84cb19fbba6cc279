"""Settings of a run from command-line options."""

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
        return changes

    def resolve(self, preset: str) -> Spec:
        """The specification of a preset with these changes.

        Raises:
            ConfigError: a setting that cannot be used.
        """
        spec = load_preset(preset, self.changes(), self.trials)
        if spec.data.is_generated and spec.data.dir is not None:
            raise ConfigError(
                f"{preset} generates its data, so it reads no folder.",
                "Leave --data-dir out, or add --set data.source=mind.",
            )
        return spec


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
