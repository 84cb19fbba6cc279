"""`grambench audit`: does single-step GRAM have E2E's gradient on this model and data?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grambench.cli import complete
from grambench.cli.help import DATA_DIR_HELP
from grambench.cli.options import DeviceOption, JsonOption, SetOption
from grambench.cli.output import say, say_json
from grambench.errors import ExitCode

if TYPE_CHECKING:
    from grambench.config.spec import Spec
    from grambench.events.state import SetupState
    from grambench.events.types import AuditFinished, EncoderChecked


def audit(
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            "-p",
            metavar="NAME",
            help="A preset's name, or a .toml file.",
            autocompletion=complete.presets,
        ),
    ],
    assignments: SetOption = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help=DATA_DIR_HELP)] = None,
    device: DeviceOption = None,
    nproc: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Also compare gradients of N ranks (at most 3, on the CPU) with one's."
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Compare the gradients of e2e and gram-1s on one batch in float64; exit code 7 if they differ.

    First compare the encoder's item vectors with those of the original model; exit code 2 if they differ.
    With ranks, also compare the gradients of several processes with those of one.
    """
    import json
    from dataclasses import asdict

    from grambench.cli.failure import complain
    from grambench.cli.settings import Options
    from grambench.domains.locate import locate
    from grambench.text import safe_text

    ranks = None if nproc is None else str(nproc)
    options = Options(tuple(assignments or []), device=device, data_dir=data_dir, nproc=ranks)
    spec = options.resolve(preset)
    if not spec.data.is_generated:
        locate(spec.data)
    setup, code = _set_up(spec, preset)
    result = setup.audit
    if result is None:
        code = code if code > 0 else int(ExitCode.BUG)
        why = setup.reason or "The process that audits has ended without a word: was it killed?"
        complain(safe_text(why, 1000), code=code)
        raise typer.Exit(code)
    if json_:
        vectors = None if setup.encoder is None else asdict(setup.encoder)
        say_json(json.dumps({**asdict(result), "vectors": vectors}))
    else:
        _print(result, setup.encoder)
    raise typer.Exit(int(ExitCode.OK if result.passed else ExitCode.NOT_EQUIVALENT))


def _set_up(spec: "Spec", preset: str) -> "tuple[SetupState, int]":
    """What the setup of a temporary run found, and the exit code of its worker."""
    import tempfile

    from grambench.events.reader import read_run
    from grambench.events.state import SETUP
    from grambench.runner.rundir import create_run
    from grambench.runner.workers import Worker

    with tempfile.TemporaryDirectory(prefix="grambench-audit-") as scratch:
        folder = create_run(spec, preset, Path(scratch), ["grambench", "audit"])
        worker = Worker(folder, SETUP)
        try:
            while (code := worker.wait(timeout_s=1.0)) is None:
                pass
        finally:
            worker.terminate()
            worker.close()
        return read_run(folder).setup, code


def _print(result: "AuditFinished", vectors: "EncoderChecked | None") -> None:
    from grambench.text import safe_text
    from grambench.views.console import adapts_lines, ranks_lines, self_words, vectors_line

    verdict = "equivalent" if result.equivalent else "NOT equivalent"
    say(f"gram-1s and e2e are {verdict} (tolerance {result.tolerance:.0e}, float64{self_words(result)})")
    for name in ("encoder", "filter"):
        absolute, relative = getattr(result, f"{name}_absolute"), getattr(result, f"{name}_relative")
        say(f"  {name:<8} largest difference {absolute:.1e}, relative {relative:.1e}")
    say(
        f"  {result.users} users, {result.occurrences:,} occurrences of {result.unique_items:,} items"
        f"{'; ' + safe_text(result.note) if result.note else ''}"
    )
    for line in ranks_lines(result):
        say(line)
    for line in adapts_lines(result):
        say(line)
    for plugin in result.plugins:
        verdict = "has" if plugin["equivalent"] else "does NOT have"
        package = f" of {plugin['package']}" if plugin["package"] else ""
        words = f"{plugin['strategy']}{package} {verdict} the update of e2e"
        say(safe_text(words, 200))
    if vectors is not None:
        say(vectors_line(vectors))
