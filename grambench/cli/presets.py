"""`grambench presets`: list the presets, or show one."""

from typing import Annotated

import typer

from grambench.cli import complete
from grambench.cli.options import JsonOption, SetOption
from grambench.errors import ConfigError


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A preset's name, or a .toml file; without it, all are listed.",
            autocompletion=complete.presets,
        ),
    ] = None,
    assignments: SetOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what every setting that the run reads means.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """List the presets, or show the settings of one that its run reads.

    The output for one preset is a preset itself: save it as a .toml file and edit it.
    """
    from grambench.cli.preset_tables import print_preset, print_presets
    from grambench.config.presets import load_preset

    if name is not None:
        print_preset(load_preset(name, assignments or []), json_, explain)
    elif assignments:
        raise ConfigError("--set needs a preset.", "Write `grambench presets NAME --set KEY=VALUE`.")
    else:
        print_presets(json_)
