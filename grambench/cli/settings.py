"""What the options of a command line say about a run."""

from pathlib import Path

from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.errors import ConfigError


def resolve(
    preset: str,
    assignments: list[str],
    strategies: str | None = None,
    seeds: str | None = None,
    device: str | None = None,
    data_dir: Path | None = None,
) -> Spec:
    """The specification of a command line; options are short forms of `--set`.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    changes = list(assignments)
    if strategies is not None:
        changes.append(f"training.strategies=[{_quoted(strategies)}]")
    if seeds is not None:
        changes.append(f"training.seeds=[{seeds}]")
    if device is not None:
        changes.append(f'device="{device}"')
    if data_dir is not None:
        changes.append(f"data.dir='''{data_dir.expanduser().absolute()}'''")
    spec = load_preset(preset, changes)
    if spec.data.is_generated and spec.data.dir is not None:
        raise ConfigError(
            f"{preset} generates its data, so it reads no folder.",
            "Leave --data-dir out, or add --set data.source=mind.",
        )
    return spec


def _quoted(names: str) -> str:
    return ", ".join(f'"{name.strip()}"' for name in names.split(",") if name.strip())
