"""`--nproc` and its kin: how many ranks train a trial, and whether this machine has the GPUs for them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from grambench.cli.settings import Options
    from grambench.config.ranks import Ranks
    from grambench.config.spec import Spec

NprocOption = Annotated[
    str | None,
    typer.Option(
        "--nproc",
        metavar="N",
        help="Processes that train a trial together, one per GPU, with the update of one; `gpu`: all GPUs.",
    ),
]
NnodesOption = Annotated[
    int | None,
    typer.Option("--nnodes", metavar="N", min=1, help="Machines that do; on the others: `grambench join`."),
]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="HOST:PORT", help="Where several machines meet: on this one."),
]


def counted(options: "Options") -> "Options":
    """The options with `--nproc gpu` as a number.

    Raises:
        ConfigError: `--nproc` is neither a number nor `gpu`.
        MachineError: there is no GPU to count.
    """
    if options.nproc is None or (options.nproc.isascii() and options.nproc.isdigit()):
        return options
    if options.nproc != "gpu":
        raise ConfigError(f"--nproc is {options.nproc!r}.", "Give a number, or gpu for as many as there are.")
    from grambench.cli.gpus import visible_gpus

    gpus, why = visible_gpus()
    if not gpus:
        raise MachineError(f"--nproc gpu: {why}.", "Give a number: `--nproc 2` trains with two processes.")
    return replace(options, nproc=str(len(gpus)))


def require_gpus(spec: "Spec") -> None:
    """Refuse more ranks than this machine has GPUs.

    Raises:
        MachineError: there are GPUs, but too few.
    """
    if spec.ranks.nproc == 1 or spec.device not in ("auto", "cuda"):
        return
    from grambench.cli.gpus import visible_gpus

    number = len(visible_gpus()[0])
    if 0 < number < spec.ranks.nproc:
        there = "is 1 GPU" if number == 1 else f"are {number} GPUs"
        raise MachineError(
            f"{spec.ranks.nproc} ranks need a GPU each, but there {there} here.",
            f"Use --nproc {number}, or --device cpu.",
        )


def ranks_of(options: "Options", folder: Path) -> "Ranks | None":
    """How many ranks are to resume a run; None: as many as it began with.

    Raises:
        ConfigError: the run cannot be trained by so many.
    """
    changes = options.ranks()
    if not changes:
        return None
    from grambench.config.presets import with_changes
    from grambench.runner.rundir import read_spec

    spec = with_changes(read_spec(folder)[1], changes)
    require_gpus(spec)
    return spec.ranks
