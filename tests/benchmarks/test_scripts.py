"""Every benchmark still runs: all its lines, on sizes that say nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SHARED = {"harness", "page", "__main__", "__init__"}


def has_main(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in SHARED and has_main(path))


def results() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (BENCHMARKS / "results").rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_runs_small_and_writes_no_result(name: str) -> None:
    before = results()
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--smoke"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert results() == before
    if ended.stdout.startswith("not run:"):
        pytest.skip(ended.stdout.strip())
    assert "smoke run" in ended.stdout
