"""`grambench tune`: the same number of trials for every contestant, then final runs of what they selected."""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from grambench.cli import complete
from grambench.cli.help import DATA_DIR_HELP
from grambench.cli.options import (
    DeviceOption,
    JsonOption,
    PlainOption,
    PresetOption,
    ScheduleOption,
    SetOption,
    StrategiesOption,
    TrialOption,
)
from grambench.cli.output import say, say_json
from grambench.cli.run import OutOption, start_supervisor

if TYPE_CHECKING:
    from grambench.cli.follow import Follow, Mode
    from grambench.cli.own_data import Found
    from grambench.cli.settings import Options
    from grambench.config.spec import Spec
    from grambench.config.tuning import TuningPlan
    from grambench.reports.tuning_schema import Tuning

_BUDGET = 5


def tune(
    preset: PresetOption = None,
    strategies: StrategiesOption = None,
    trials: TrialOption = None,
    assignments: SetOption = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help=DATA_DIR_HELP)] = None,
    budget: Annotated[
        int | None, typer.Option(metavar="N", help=f"Trials of each contestant; default: {_BUDGET}.")
    ] = None,
    tune_seed: Annotated[
        int | None,
        typer.Option(metavar="SEED", min=0, max=2**31 - 1, help="Of these trials; default: 1000."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="LIST", help="Seeds of the final run, for example 0..5.")
    ] = None,
    device: DeviceOption = None,
    schedule: ScheduleOption = None,
    out: OutOption = Path("runs"),
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Resume an interrupted tuning, by the name of either run.",
            autocompletion=complete.run_names,
        ),
    ] = None,
    plain: PlainOption = False,
    json_: JsonOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show draws, data, model, memory and time, and exit.")
    ] = False,
) -> None:
    """Tune every strategy alike, and compare what was selected.

    Each contestant gets the same number of trials with the same draws from one search space. Its best one by
    validation runs again with fresh seeds (docs/tuning.md).
    """
    from grambench.cli.exports import without_secrets
    from grambench.cli.follow import view
    from grambench.cli.missing import require_all
    from grambench.cli.planned import resolved
    from grambench.cli.ranks import require_gpus
    from grambench.cli.settings import Options
    from grambench.config.tuning import plan_tuning
    from grambench.errors import ConfigError
    from grambench.runner.rundir import find_run
    from grambench.runner.tunings import create_tuning

    if preset is None and resume is None and data_dir is None:
        raise ConfigError(
            "What to tune is not given: --preset, --data-dir or --resume.",
            "Try `grambench tune --preset demo --budget 2`.",
        )
    options = Options(
        tuple(assignments or ()), strategies, seeds, device, data_dir, schedule, trials=tuple(trials or ())
    )
    mode: Mode = "json" if json_ else view(plain)
    command = ["grambench", *without_secrets(sys.argv[1:])]
    if resume is not None:
        folder = find_run(resume, out)
        if (preset, budget, tune_seed, options) != (None, None, None, Options()):
            _require_same(folder, options, preset, budget, tune_seed)
        _resume(folder, command, mode)
    spec, found = resolved(options, preset or "", with_data=dry_run)
    plan = plan_tuning(spec, preset or spec.name, _BUDGET if budget is None else budget, tune_seed)
    require_gpus(spec)
    if dry_run and found is not None:
        _print_plan(plan, spec, found, as_json=json_)
        return
    require_all(spec, preset or spec.name)
    _both(lambda: create_tuning(plan, spec, out, command), command, mode)


def _require_same(
    folder: Path, options: "Options", preset: str | None, budget: int | None, seed: int | None
) -> None:
    """Refuse to resume a tuning with other settings than those of the command line."""
    from grambench.cli.settings import Options, is_own
    from grambench.config.tuning import plan_tuning
    from grambench.runner.tunings import first_of, read_plan, require_same

    first = first_of(folder)
    plan, kept = read_plan(first)
    name, given = preset or plan.preset, preset is not None or options != Options()
    if is_own(name) and not options.sets_seeds:
        options = replace(options, seeds=",".join(map(str, kept.training.seeds)))
    budget, seed = plan.budget if budget is None else budget, plan.seed if seed is None else seed
    require_same(first, plan_tuning(options.resolve(name) if given else kept, name, budget, seed))


def _resume(folder: Path, command: list[str], mode: "Mode") -> NoReturn:
    """What is left of a tuning, by the folder of either run."""
    from grambench.runner.tunings import final_of, first_of, is_tuning

    first = first_of(folder)
    final = folder if folder != first else final_of(folder)
    if final is None and is_tuning(folder):
        _both(lambda: folder, command, mode)
    _final(lambda: final or folder, mode)


def _both(ready: Callable[[], Path], command: list[str], mode: "Mode") -> NoReturn:
    """The tuning run in the folder that `ready` makes or finds, then the final run."""
    from grambench.cli.failure import complain
    from grambench.cli.follow import finish, named
    from grambench.cli.suite_runs import is_done
    from grambench.errors import ExitCode
    from grambench.events.reader import read_run
    from grambench.reports.runfile import read_run_file
    from grambench.reports.tuning import build_tuning
    from grambench.runner.tunings import create_final, read_plan

    folder, follow = _trained(ready, mode, stays=False)
    if follow is None:
        _tell([f"`grambench tune --resume {named(folder)}` makes the final run once it has ended"])
        raise typer.Exit
    if not is_done(folder):
        finish(folder, as_json=mode == "json", left=follow.code)
    plan, spec = read_plan(folder)
    tuning = build_tuning(plan, spec, read_run_file(folder), read_run(folder))
    if mode != "json":
        _tell(_lines(tuning))
    if len(tuning.left_out) == len(tuning.contestants):
        words = "No trial of the tuning gave a validation score, so there is nothing to run."
        complain(words, f"`grambench report {named(folder)}` says why.", ExitCode.PARTIAL)
        raise typer.Exit(int(ExitCode.PARTIAL))
    _final(lambda: create_final(plan, spec, tuning, folder.parent, command), mode)


def _final(ready: Callable[[], Path], mode: "Mode") -> NoReturn:
    """The final run in the folder that `ready` makes or finds, and its results."""
    from grambench.cli.failure import complain
    from grambench.cli.follow import finish
    from grambench.errors import ExitCode
    from grambench.reports.tuning import read_tuning

    folder, follow = _trained(ready, mode, stays=True)
    if follow is None:
        raise typer.Exit
    tuning, _ = read_tuning(folder)
    left_out = tuning.left_out if tuning else []
    try:
        finish(folder, as_json=mode == "json", left=follow.code)
    except typer.Exit as ended:
        if ended.exit_code or not left_out:
            raise
    words = f"The final run lacks {', '.join(left_out)}: no trial of the tuning gave a validation score."
    complain(words, "Move the ranges of [tune].", ExitCode.PARTIAL)
    raise typer.Exit(int(ExitCode.PARTIAL))


def _trained(ready: Callable[[], Path], mode: "Mode", *, stays: bool) -> "tuple[Path, Follow | None]":
    """Train what a run has left, or watch it if it is running; None: the user left it running."""
    from grambench.cli.follow import Follow, interrupts_held
    from grambench.cli.suite_runs import is_done
    from grambench.runner.resume import check_resumable
    from grambench.runner.rundir import supervisor_of

    with ExitStack() as stack:
        with interrupts_held():  # the folder exists, and no Ctrl+C handler is installed yet
            folder = ready()
            follow = Follow(folder, stays=stays)
            stack.enter_context(follow)
            stack.enter_context(follow.farewell())
        if is_done(folder):
            return folder, follow
        if supervisor_of(folder) is None:
            check_resumable(folder)
            follow.supervisor = start_supervisor(folder)
        return folder, follow if follow.watch(mode) else None


def _tell(lines: Iterable[str]) -> None:
    """Lines on stderr, on a terminal within its width."""
    width = shutil.get_terminal_size().columns
    for line in lines:
        shown = textwrap.fill(line, width, subsequent_indent="    ", break_on_hyphens=False)
        say(shown if sys.stderr.isatty() else line, err=True)


def _lines(tuning: "Tuning") -> Iterator[str]:
    """What was selected, a line for each contestant."""
    from grambench.reports.render.tuning import selected_words, summary

    yield summary(tuning)
    for each in tuning.contestants:
        yield f"{each.label}: {selected_words(each)}"
        yield from (f"warning: {each.label}: {words}" for words in each.cautions)


def _print_plan(plan: "TuningPlan", spec: "Spec", found: "Found", *, as_json: bool) -> None:
    """Draws, and what both runs would do; as JSON, one document."""
    from grambench.cli.own_data import plan as lines_of
    from grambench.config.tuning import final_spec, tuning_spec

    final = final_spec(plan, spec, {entry.label: 0 for entry in spec.entries})
    names = [f"{entry.label} × {plan.budget}" for entry in spec.entries]
    tuning_lines = [*lines_of(tuning_spec(plan, spec), found, names)]
    final_lines = [*lines_of(final, found)]
    if as_json:
        draws = {"budget": plan.budget, "seed": plan.seed, "draws": plan.model_dump(mode="json")["draws"]}
        say_json(json.dumps({"preset": spec.name, **draws, "tuning": tuning_lines, "final": final_lines}))
        return
    for number, draw in enumerate(plan.draws):
        words = ", ".join(f"{key} = {value}" for key, value in draw.items())
        say(f"draw {number}: {words or 'the settings of each contestant'}")
    say("\n".join(("", "tuning run", *tuning_lines, "", "final run", *final_lines)))
