"""Every benchmark still runs: all its lines, on sizes that say nothing."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SHARED = {"harness", "page", "__main__", "__init__", "measure", "shape"}
"""`measure` runs in `test_measure.py`, on data that were carried along; `shape` measures no time."""


def has_main(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


HEAVY = {"adaptive", "dashboard_overhead", "auto_window", "chunked", "ablation", "modern", "frozen"}
"""The longest, even on such sizes."""
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in SHARED and has_main(path))


def results() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (BENCHMARKS / "results").rglob("*") if path.is_file()}


class Server:
    """Runs scripts in forks of one process that has loaded the libraries."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("smoke_server.py"))],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str, output: Path) -> int:
        """The exit code of a script's smoke run; what it printed is in `output`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name} {output}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Ends with the module's tests."""
    made = Server()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy if name in HEAVY else ()) for name in SCRIPTS]
)
def test_the_script_runs_small_and_writes_no_result(name: str, server: Server, tmp_path: Path) -> None:
    before, output = results(), tmp_path / "output"
    assert server.run(name, output) == 0, output.read_text()
    printed = output.read_text()
    assert results() == before
    if "not run:" in printed:
        pytest.skip(printed.strip())
    assert "smoke run" in printed
