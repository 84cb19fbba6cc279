"""The examples of docs/library.md: they learn, they are short, and the page shows them."""

import ast
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

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
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant()):
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


def test_the_lines_that_the_page_begins_with_train_both_networks() -> None:
    """With a loader, an encoder, a loss, and parameters in place of the three dots."""
    encoder, user_model = nn.Embedding(9, 4), nn.Linear(4, 1)
    before = [module.weight.detach().clone() for module in (encoder, user_model)]
    names = {
        "torch": torch,
        "encoder": encoder,
        "user_model": user_model,
        "encode": encoder,
        "loss": lambda vectors_BKD, wanted_BK: (user_model(vectors_BKD)[..., 0] - wanted_BK).square().sum(),
        "loader": [(torch.randint(9, (3, 5)), torch.ones(3, 5))],
    }
    lines = (ROOT / "docs" / "library.md").read_text().partition("```python\n")[2].partition("```")[0]
    for name in ("encoder", "user_model"):
        lines = lines.replace("(...)", f"({name}.parameters())", 1)
    exec(lines, names)
    assert (encoder.weight != before[0]).any()
    assert (user_model.weight != before[1]).any()
