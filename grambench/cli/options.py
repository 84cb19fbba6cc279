"""Options that several commands have."""

from typing import Annotated

import typer

from grambench.cli import complete

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Change a setting; may be repeated.",
        autocompletion=complete.keys,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.", autocompletion=complete.devices),
]
