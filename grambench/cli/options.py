"""Options that several commands have."""

from typing import Annotated

import typer

from grambench.cli import complete
from grambench.config.strategies import ROWS

PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME",
        help="A preset's name, or a .toml file.",
        autocompletion=complete.presets,
    ),
]
StrategiesOption = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help=f"Comma-separated, from {', '.join(row.name for row in ROWS)} and plug-ins; or labels of the "
        "preset's [[trials]].",
        autocompletion=complete.strategies,
    ),
]
TrialOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trial",
        metavar="'LABEL: STRATEGY, TABLE.KEY=VALUE'",
        help="A trial with its own settings; may be repeated.",
    ),
]
ScheduleOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="sequential, race (turns on one device) or parallel.",
        autocompletion=complete.schedules,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Change a setting; may be repeated.",
        autocompletion=complete.keys,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document to stdout, and errors as JSON (docs/scripting.md)."),
]
PlainOption = Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")]
LogToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log-to",
        metavar="NAME:DIR",
        help="Export while it runs: tensorboard:DIR, mlflow:DIR, wandb:DIR; may be repeated.",
        autocompletion=complete.log_targets,
    ),
]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        metavar="N",
        min=0,
        max=65535,
        help="Serve metrics for Prometheus on 127.0.0.1; 0 takes a free port and names it.",
    ),
]
WebhookOption = Annotated[
    str | None,
    typer.Option(
        "--webhook",
        metavar="URL",
        envvar="GRAMBENCH_WEBHOOK",
        help="Post JSON when the run ends or is decided, or a trial diverges.",
    ),
]
BellOption = Annotated[bool, typer.Option("--bell", help="Ring this terminal at the same moments.")]
PredictionsOption = Annotated[
    bool,
    typer.Option(
        "--predictions",
        help="Write predictions of the test part, and of parts without labels (docs/predictions.md).",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.", autocompletion=complete.devices),
]
