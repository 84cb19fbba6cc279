"""What the shell completes, by the functions and by the entry that a shell calls."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_logs import Run

from grambench.cli import complete
from grambench.config.presets import load_preset, preset_names

_MAIN = "import sys; from grambench.cli.app import main; sys.argv[0] = 'grambench'; main()"


def completed(folder: Path, words: str) -> list[str]:
    """What bash is given for the last word."""
    asked = {"_GRAMBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _MAIN],
        cwd=folder,
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def runs_in(out: Path, *names: str) -> None:
    for age, name in enumerate(names):
        (out / name).mkdir(parents=True)
        Run(out / name)
        os.utime(out / name / "run.json", ns=(0, 10**18 - age))


def test_runs_are_offered_newest_first_and_only_those_of_out(tmp_path: Path) -> None:
    runs_in(tmp_path / "a", "demo-2", "demo-1", "mind-1")
    context: Any = SimpleNamespace(params={"out": tmp_path / "a"})
    assert complete.run_names(context, "") == ["last", "demo-2", "demo-1", "mind-1"]
    assert complete.run_names(context, "de") == ["last", "demo-2", "demo-1"]
    (tmp_path / "file").touch()
    for out in (tmp_path / "absent", tmp_path / "file"):
        assert complete.run_names(SimpleNamespace(params={"out": out}), "") == ["last"]  # type: ignore[arg-type]


def test_strategies_are_offered_after_those_that_the_list_has() -> None:
    names = [name for name, _ in complete.strategies("")]
    assert {"e2e", "gram-1s", "gram-10s", "gram-1e", "lm-kt"} <= set(names)
    later = [name for name, _ in complete.strategies("e2e,gram-1s,gr")]
    assert set(later) == {f"e2e,gram-1s,{name}" for name in names if name not in ("e2e", "gram-1s")}


def test_every_setting_is_offered_with_its_meaning_and_can_be_set() -> None:
    keys = dict(complete.keys())
    assert {"schedule=", "training.epochs=", "encoder.architecture.layers=", "crcf.optimizer.lr="} <= set(
        keys
    )
    assert all(keys.values())
    assert not any(key.startswith("trials") for key in keys)
    assert load_preset("demo", ["encoder.architecture.layers=1"]).encoder.architecture is not None


def test_schedules_and_devices_are_values_of_their_settings() -> None:
    assert complete.schedules() == ["sequential", "race", "parallel"]
    for device in complete.devices():
        assert load_preset("demo", [f"device={device}"]).device == device


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("grambench run --preset ", preset_names()),
        ("grambench run --set training.ep", ["training.epochs="]),
        ("grambench watch mi", ["mind-7"]),
        ("grambench presets demo-", ["demo-kt", "demo-modern"]),
    ],
)
def test_a_shell_is_given_them(tmp_path: Path, words: str, offered: list[str]) -> None:
    runs_in(tmp_path / "runs", "mind-7")
    assert completed(tmp_path, words) == offered
