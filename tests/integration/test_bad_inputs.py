"""What a newcomer mistypes: one sentence each with the fix, and nothing begun."""

import re
import shlex
import sys
import warnings
from pathlib import Path

import pytest

from grambench.cli.app import main

PYTHON = re.compile(r"tuple|instance of|pattern|\\d|Input should|Traceback|<class|None|Literal|\bdict")
"""Words of Python that no message has."""


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("rnu", "No such command 'rnu'. Did you mean 'run'?"),
        ("run", "`grambench run --preset demo`"),
        ("run --preset", "Option '--preset' requires an argument."),
        ("run --preset deno", "There is no preset 'deno'. Did you mean 'demo'?"),
        ("run --preset demo --detach --foreground", "--detach and --foreground contradict each other."),
        ("run --preset demo --repeats x", "--repeats"),
        ("run --preset demo --repeats 0", "training.repeats: must be at least 1, not 0."),
        ("run --preset demo --device gpu", "unknown device 'gpu': write auto, cpu, cuda or cuda:0"),
        ("run --preset demo --schedule fast", "must be 'sequential', 'race' or 'parallel', not 'fast'."),
        ("run --preset demo --strategies gram", "unknown strategy 'gram'"),
        ("run --preset demo --seeds 3..1", "the range '3..1' runs backwards; write 1..3"),
        ("run --preset demo --set training.strategies=e2e", "must be a list in brackets, such as"),
        ("run --preset demo --set training.epoch=3", "Did you mean 'training.epochs'?"),
        ("run --preset demo --set training.epochs", "Write --set table.key=value"),
        ("run --preset demo --set training=3", "training: must be a table of settings"),
        ("run --preset demo --set null_test=yes", "null_test: must be true or false, not 'yes'."),
        (
            "run --preset demo --set training.micro_batch=many",
            "must be a whole number or 'auto', not 'many'.",
        ),
        ("run --preset demo --set encoder_optimizer.lr=nan", "must be a finite number, not nan."),
        ("run --preset demo --set training.seeds=none", "must be a list in brackets"),
        (
            "run --preset demo --trial 'a: gram-1e, training.batch_size=few'",
            "a: training.batch_size: must be a whole number, not 'few'",
        ),
        ("run --preset demo --fail-on 'speedup.gram-1e <'", "speedup.gram-1e <"),
        ("run --resume nothing", "'nothing' is not a run folder"),
        ("stop a b", "Got unexpected extra argument(s) (b)."),
        ("replay --speed 0", "--speed"),
        ("data synth", "Missing option '--out'."),
        ("runs --ouy x", "Did you mean --out?"),
        (f"run --preset {'x' * 300}", "File name too long"),
        (f"run --preset demo --set {'x.' * 3000}y=1", "tables are nested too deeply"),
        (f"run --preset demo --set training.epochs={'9' * 4000}", "must be at most 9.007199255e+15"),
        (f"run --preset demo --set training.epochs={'9' * 5000}", "must be a whole number, not '9999"),
        ("run --preset demo --set x\udcff=1", "is not valid UTF-8"),
        (f"presets {'/x' * 3000}", "File name too long"),
    ],
)
def test_it_is_told_in_one_sentence_with_the_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["grambench", *shlex.split(line)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (3 if "--resume" in line else 2, "")
    assert sentence in said.err
    assert said.err.startswith("grambench: ")
    assert said.err.count("\n") == 1
    assert not PYTHON.search(said.err)
    assert not list(tmp_path.iterdir())
