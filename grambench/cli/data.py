"""`grambench data`: list, prepare, verify, convert and generate data sets."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from grambench.cli import complete
from grambench.cli.help import DATA_DIR_HELP, App
from grambench.cli.options import JsonOption, SetOption
from grambench.cli.output import say
from grambench.errors import MachineError, StoppedError

app = App(
    name="data",
    help="List, prepare, verify, convert and generate data sets.",
    no_args_is_help=True,
)

NameArgument = Annotated[
    str,
    typer.Argument(
        help="A preset's name or .toml file, or a data set's name.", autocompletion=complete.presets
    ),
]
NameOrFolderArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A preset's or data set's name, or a folder.")
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help=DATA_DIR_HELP),
]


class Like(StrEnum):
    """Real data sets whose size generated data can imitate."""

    MIND_SMALL = "mind-small"
    MIND_DEMO = "mind-demo"


class Convertible(StrEnum):
    """Data sets that can be converted to plain tables."""

    ASSIST2009 = "assist2009"


class Items(StrEnum):
    """What an item of ASSISTments is."""

    SKILLS = "skills"
    JOINT_SKILLS = "joint-skills"
    PROBLEMS = "problems"


@app.command("list")
def list_(json_: JsonOption = False) -> None:
    """List the known data sets: folder, whether it is complete, licence and size."""
    from grambench.cli.data_sets import DATA_SETS, described
    from grambench.cli.data_tables import print_data_sets, print_json
    from grambench.cli.screen import Screen

    rows = [described(data_set) for data_set in DATA_SETS]
    if json_:
        print_json(rows)
    else:
        print_data_sets(rows, Screen())


@app.command()
def prepare(
    name: NameArgument,
    data_dir: DataDirOption = None,
    assignments: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Fetch a data set where its licence allows, and convert it into the arrays that runs read.

    MIND is fetched if it is missing and no folder is given; a second call reuses the arrays.
    """
    from dataclasses import asdict

    from grambench.cli.data_prepare import fetch_if_missing, prepare_in_worker
    from grambench.cli.data_sets import spec_of
    from grambench.cli.data_tables import print_json, print_prepared
    from grambench.cli.screen import Screen
    from grambench.cli.steps import open_steps

    spec = spec_of(name, assignments or [], data_dir)
    try:
        with open_steps() as steps:
            fetch_if_missing(spec.data, steps)
            prepared, warned = prepare_in_worker(spec, name, steps)
    except KeyboardInterrupt as error:
        raise StoppedError("The preparation was stopped.", "Files fetched so far are kept.") from error
    messages = [warning.message for warning in warned]
    if json_:
        print_json({**asdict(prepared), "warnings": messages})
    else:
        print_prepared(prepared, messages, Screen())


@app.command()
def verify(
    name: NameOrFolderArgument,
    data_dir: DataDirOption = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a setting; may be repeated."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Read every file of a data set and count what a run will use. Needs no model.

    Unknown ids, empty histories and one-class impressions are reported but are not errors; a file that
    cannot be read is one (exit code 3). With --data-dir, NAME can be any name. The format is recognised by
    the folder's files (docs/data.md). In a folder that grambench has
    prepared, or a cache of such folders, every file is compared with its recorded digest; a difference
    is an error.
    """
    from grambench.cli.data_sets import data_to_verify, folder_to_verify
    from grambench.cli.data_tables import print_json, print_prepared_checks, print_verification
    from grambench.cli.screen import Screen
    from grambench.data.verify_prepared import damage, prepared_folders, verify_prepared
    from grambench.domains.registry import domain_of

    folder = folder_to_verify(name, data_dir)
    console = Screen(stderr=True)
    if prepared := prepared_folders(folder):
        with console.status("reading") if console.is_terminal else contextlib.nullcontext():
            checks = [verify_prepared(one) for one in prepared]
        if json_:
            print_json([check.model_dump(mode="json") for check in checks])
        else:
            print_prepared_checks(checks, Screen())
        if error := damage(checks):
            raise error
        return
    data = data_to_verify(name, folder, assignments or [])
    with console.status("reading") if console.is_terminal else contextlib.nullcontext():
        found = domain_of(data.domain).verify(folder, data)
    if json_:
        print_json(found.model_dump(mode="json"))
    else:
        print_verification(found, Screen())


@app.command()
def synth(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to create; it must be new or empty.")],
    like: Annotated[
        Like | None, typer.Option(metavar="|".join(Like), help="Start from the size of a real data set.")
    ] = None,
    news: Annotated[int | None, typer.Option(metavar="N", help="News items.")] = None,
    users: Annotated[int | None, typer.Option(metavar="N", help="Users.")] = None,
    train_impressions: Annotated[int | None, typer.Option(metavar="N", help="Impressions in train.")] = None,
    dev_impressions: Annotated[int | None, typer.Option(metavar="N", help="Impressions in dev.")] = None,
    topics: Annotated[int | None, typer.Option(metavar="N", help="Planted topics.")] = None,
    history_mean: Annotated[float | None, typer.Option(metavar="X", help="Mean clicks in a history.")] = None,
    candidates_mean: Annotated[
        float | None, typer.Option(metavar="X", help="Mean candidates in an impression.")
    ] = None,
    taste: Annotated[
        float | None, typer.Option(metavar="X", help="How strongly clicks follow taste; 0: not at all.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the generator.")] = None,
) -> None:
    """Write generated data in MIND's format: no download, no licence, any size.

    The same options give the same bytes; options left out default to those of data.synthetic in a preset.
    """
    from grambench.config.data import SyntheticData
    from grambench.config.presets import validate
    from grambench.domains.news.synthetic import LIKE, generate
    from grambench.text import safe_text

    given = {
        "news": news,
        "users": users,
        "train_impressions": train_impressions,
        "dev_impressions": dev_impressions,
        "topics": topics,
        "history_mean": history_mean,
        "candidates_mean": candidates_mean,
        "taste": taste,
        "seed": seed,
    }
    base = (LIKE[like] if like is not None else SyntheticData()).model_dump()
    chosen = base | {key: value for key, value in given.items() if value is not None}
    spec = validate({"data": {"synthetic": chosen}}, "grambench data synth").data.synthetic
    folder = out.expanduser()
    with _written(folder):
        generate(spec, folder)
    say(safe_text(folder, 1000))
    say(
        f"{spec.news:,} news, {spec.users:,} users, {spec.train_impressions:,} train and"
        f" {spec.dev_impressions:,} dev impressions, seed {spec.seed}"
    )


@app.command()
def convert(
    name: Annotated[Convertible, typer.Argument(help="The data set: assist2009.")],
    source: Annotated[Path, typer.Argument(help="Its file, interactions.tsv.gz.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to create; it must be new or empty.")],
    items: Annotated[
        Items, typer.Option(metavar="|".join(Items), help="What counts as one item.")
    ] = Items.SKILLS,
) -> None:
    """Write a data set as two plain tables, items.tsv and interactions.tsv, for a run with --data-dir.

    A problem with several skills has one row per skill: with `skills` every row is an answer, as in most
    papers; with `joint-skills` and `problems` the rows are merged into one.
    """
    from grambench.domains.knowledge_tracing.convert import convert_assist2009
    from grambench.text import safe_text

    folder = out.expanduser()
    with _written(folder):
        counts = convert_assist2009(source.expanduser(), folder, items.value)
    say(safe_text(folder, 1000))
    say(
        f"{name.value}: {counts.rows:,} rows, {counts.merged_rows:,} of them merged into an answer of several"
        f" skills; {counts.answers:,} answers of {counts.students:,} students to {counts.items:,} items"
    )


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Turn an OSError into one sentence with the fix."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{folder} could not be written: {error.strerror or error}.", "Choose another folder with --out."
        ) from error
