"""What the files beside the package say of versions and commands agrees with it."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from grambench import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [
    Requirement(line) for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
]


def pins(name: str) -> dict[str, str]:
    """The versions of a constraints file, by name in lower case."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.lower().split("==") for line in lines if line)


@pytest.mark.parametrize("required", REQUIRED, ids=lambda required: required.name)
def test_each_lower_bound_has_its_pin(required: Requirement) -> None:
    (bound,) = (one.version for one in required.specifier if one.operator == ">=")
    assert pins("constraints-lowest.txt")[required.name] in SpecifierSet(f"=={bound}.*")


@pytest.mark.parametrize("required", REQUIRED, ids=lambda required: required.name)
def test_ci_runs_an_allowed_version(required: Requirement) -> None:
    assert pins("constraints.txt")[required.name] in required.specifier


def test_every_imported_package_is_required() -> None:
    imported = set()
    for path in (ROOT / "grambench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    extras = [
        line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines
    ]
    names = {Requirement(line).name for line in (*PROJECT["dependencies"], *extras)}
    required = {name.replace("-", "_").removesuffix("_skinny") for name in names}  # mlflow-skinny is `mlflow`
    others = imported - sys.stdlib_module_names - {"grambench"}
    assert others - required == {"pydantic_core"}  # types only, and of pydantic's own version


def test_changelog_and_citation_know_the_version() -> None:
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_make_help_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in shown.splitlines()] == phony.split()
