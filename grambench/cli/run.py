"""`grambench run`: start a run and show it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.cli import complete
from grambench.cli.fail_on import FailOnOption
from grambench.cli.help import DATA_DIR_HELP
from grambench.cli.options import (
    BellOption,
    DeviceOption,
    JsonOption,
    LogToOption,
    MetricsPortOption,
    PlainOption,
    PredictionsOption,
    PresetOption,
    ScheduleOption,
    SetOption,
    StrategiesOption,
    TrialOption,
    WebhookOption,
)
from grambench.cli.output import say, say_json
from grambench.cli.ranks import EndpointOption, NnodesOption, NprocOption

if TYPE_CHECKING:
    from grambench.analysis.conditions import Condition
    from grambench.cli.exports import Outlets
    from grambench.cli.settings import Options
    from grambench.config.ranks import Ranks

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder that holds the runs.")]


def run(
    preset: PresetOption = None,
    strategies: StrategiesOption = None,
    trials: TrialOption = None,
    assignments: SetOption = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help=DATA_DIR_HELP)] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="LIST", help="Comma-separated seeds and ranges, for example 0..5,9.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train each trial N times with the same seed, in fresh processes."),
    ] = None,
    until_decided: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="In place of --seeds: seeds 0, 1, … until every strategy is better than e2e, as good or"
            " worse; N (6 to 30) at most.",
        ),
    ] = None,
    decide: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="With --until-decided: wait for this trial alone."),
    ] = None,
    device: DeviceOption = None,
    schedule: ScheduleOption = None,
    nproc: NprocOption = None,
    nnodes: NnodesOption = None,
    endpoint: EndpointOption = None,
    null_test: Annotated[
        bool, typer.Option("--null-test", help="Train the first strategy twice, to measure the noise.")
    ] = False,
    out: OutOption = Path("runs"),
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Resume an interrupted run.",
            autocompletion=complete.run_names,
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start it and return; `grambench watch` shows it.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Run in this terminal and end with it (for CI).")
    ] = False,
    plain: PlainOption = False,
    json_: JsonOption = False,
    fail_on: FailOnOption = None,
    log_to: LogToOption = None,
    metrics_port: MetricsPortOption = None,
    webhook: WebhookOption = None,
    bell: BellOption = False,
    predictions: PredictionsOption = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the resolved settings, data and model, measure what each trial would cost, and exit.",
        ),
    ] = False,
    no_probe: Annotated[
        bool,
        typer.Option("--no-probe", help="With --dry-run: measure nothing, which takes 5 to 20 seconds."),
    ] = False,
) -> None:
    """Train every strategy of a preset in turn and report how they compare."""
    from grambench.cli.exports import Outlets, without_secrets
    from grambench.cli.fail_on import parsed, require_names
    from grambench.cli.missing import require_all
    from grambench.cli.planned import print_plan, resolved
    from grambench.cli.ranks import counted, ranks_of, require_gpus
    from grambench.cli.settings import Options
    from grambench.errors import ConfigError
    from grambench.events.buffered_journal import disk_patience_s
    from grambench.runner.rundir import create_run, find_run
    from grambench.runner.starts import start_method

    if preset is None and resume is None and data_dir is None:
        raise ConfigError(
            "What to run is not given: --preset, --data-dir or --resume.",
            "Try `grambench run --preset demo`.",
        )
    if detach and foreground:
        raise ConfigError("--detach and --foreground contradict each other.", "Give one of them.")
    start_method()  # an unusable value is refused before anything is created
    disk_patience_s()
    conditions = parsed(fail_on)
    if conditions and detach:
        raise ConfigError(
            "--fail-on needs the end of the run, which --detach does not wait for.",
            "Give --fail-on to `grambench report` once the run has ended.",
        )
    outlets = Outlets(tuple(log_to or ()), metrics_port, webhook, bell)
    outlets.check()
    options = Options(
        (*(assignments or ()), *(["data.predictions=true"] if predictions else [])),
        strategies,
        seeds,
        device,
        data_dir,
        schedule,
        null_test,
        repeats,
        until_decided,
        decide,
        tuple(trials or ()),
        nproc,
        nnodes,
        endpoint,
    )
    options = counted(options)
    show = partial(
        _run_and_show,
        detach=detach,
        foreground=foreground,
        plain=plain,
        as_json=json_,
        fail_on=conditions,
        outlets=outlets,
    )
    if resume is not None:
        folder = _resumable(find_run(resume, out), options, preset, conditions)
        show(lambda: folder, ranks=ranks_of(options, folder))
        return
    spec, found = resolved(options, preset or "", with_data=dry_run)
    require_names(conditions, spec)
    require_gpus(spec)
    if dry_run and found is not None:
        print_plan(spec, found, as_json=json_, probes=not no_probe)
        return
    require_all(spec, preset or spec.name)
    if found is not None:
        say(f"{found.line}; preset {spec.name}", err=True)
    show(lambda: create_run(spec, preset or spec.name, out, ["grambench", *without_secrets(sys.argv[1:])]))


def _resumable(
    folder: Path, options: "Options", preset: str | None, conditions: "Sequence[tuple[str, Condition]]"
) -> Path:
    """The folder of a run that can be resumed, with the settings that are asked for, if any are."""
    from grambench.cli.fail_on import require_names
    from grambench.cli.settings import Options, is_own
    from grambench.runner.resume import check_resumable
    from grambench.runner.rundir import read_spec

    name, kept = read_spec(folder)
    options = replace(options, nproc=None, nnodes=None, endpoint=None)  # any number of ranks may resume it
    asked = preset is not None or options != Options()
    if asked and is_own(preset or name) and not options.sets_seeds:
        options = replace(options, seeds=",".join(map(str, kept.training.seeds)))
    wanted = options.resolve(preset or name) if asked else None
    check_resumable(folder, wanted and wanted.model_copy(update={"ranks": kept.ranks}))
    require_names(conditions, kept)
    return folder


def _run_and_show(
    ready: Callable[[], Path],
    *,
    detach: bool,
    foreground: bool,
    plain: bool,
    as_json: bool,
    fail_on: "Sequence[tuple[str, Condition]]",
    outlets: "Outlets",
    ranks: "Ranks | None" = None,
) -> None:
    """Start the supervisor of the folder that `ready` makes or finds, and follow the run."""
    from grambench.cli.follow import Follow, finish, in_foreground, interrupts_held, print_detached, view

    with contextlib.ExitStack() as stack:
        exports = outlets.open()
        with interrupts_held():  # the run's folder exists, and no Ctrl+C handler is installed yet
            folder = ready()
            follow = Follow(folder)
            if not foreground:  # the supervisor installs its own handlers
                stack.enter_context(follow)
                stack.enter_context(follow.farewell())
        if foreground:
            left = in_foreground(folder, quiet=as_json, exports=exports, ranks=ranks)
            finish(folder, as_json=as_json, left=left, fail_on=fail_on)
        follow.supervisor = start_supervisor(folder, exports, ranks)
        if detach:
            if as_json:
                say_json(json.dumps({"run": folder.name, "folder": str(folder)}))
            else:
                print_detached(folder)
            return
        ended = follow.watch("json" if as_json else view(plain))
    if ended:
        finish(folder, as_json=as_json, left=follow.code, fail_on=fail_on)


def start_supervisor(
    folder: Path, exports: Sequence[str] = (), ranks: "Ranks | None" = None
) -> subprocess.Popen[bytes]:
    """The run's supervisor, in its own session: closing the terminal does not end it.

    Args:
        folder: of the run.
        exports: targets, which reach it by its standard input, since they may hold secrets.
        ranks: in place of the specification's.

    Raises:
        MachineError: the folder cannot be written.
    """
    from grambench.errors import MachineError
    from grambench.fs import open_owned
    from grambench.runner.exports import inherited
    from grambench.runner.rundir import require_room

    try:
        require_room(folder)
        log = os.fdopen(open_owned(folder / "supervisor.log"), "ab")
    except OSError as error:
        raise MachineError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "Free some space or make the folder writable, or copy the run elsewhere.",
        ) from error
    with log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "grambench.runner", str(folder), "-"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited(exports),
        )
    for descriptor in inherited(exports):
        os.close(descriptor)
    assert supervisor.stdin
    with contextlib.suppress(BrokenPipeError), supervisor.stdin as pipe:
        pipe.write(json.dumps({"exports": exports, "ranks": ranks and ranks.model_dump()}).encode())
    return supervisor
