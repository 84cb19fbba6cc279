"""The examples of docs/library.md: they learn, they are short, and the page shows them."""

import ast
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "own_encoder_and_filter": [lambda train: train(False, 60), lambda train: train(True, 60)],
    "finetune_hugging_face": [lambda train: train(30)],
    "frozen_layers": [lambda train: train(80)],
    "knowledge_tracing": [lambda train: train(8)],
}
REACHED = {
    "own_encoder_and_filter": 0.9,
    "finetune_hugging_face": 1.0,
    "frozen_layers": 1.0,
    "knowledge_tracing": 0.56,
}
"""Below chance by far: log(5), log(4) and log(2)."""


@pytest.mark.parametrize(("name", "run"), [(name, run) for name, runs in EXAMPLES.items() for run in runs])
def test_an_example_learns(name: str, run: Callable[..., list[float]]) -> None:
    losses = run(runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["train"])
    assert sum(losses[-3:]) / 3 < REACHED[name] < losses[0]


def own_lines(path: Path) -> int:
    """Lines of a script, without imports, docstrings, comments and blank ones."""
    text, left_out = path.read_text(), set()
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(n not in left_out and bool(line.partition("#")[0].strip()) for n, line in lines)


def test_an_example_is_thirty_lines_of_its_own_and_every_one_is_tested_and_shown() -> None:
    paths = sorted((ROOT / "examples").glob("*.py"))
    assert [path.stem for path in paths] == sorted(EXAMPLES)
    page = (ROOT / "docs" / "library.md").read_text()
    for path in paths:
        assert own_lines(path) <= 30, path
        assert f"examples/{path.name}" in page
