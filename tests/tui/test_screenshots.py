"""The pictures of the README are those that this code draws of the recorded run."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_SPEC = importlib.util.spec_from_file_location("screenshots", DOCS / "screenshots.py")
assert _SPEC is not None
assert _SPEC.loader is not None
screenshots = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(screenshots)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("images")
    screenshots.draw_all(folder)
    return folder


@pytest.mark.parametrize("name", [shot.name for shot in screenshots.SHOTS])
def test_a_picture_is_of_this_code(drawn: Path, name: str) -> None:
    file = f"{name}.svg"
    assert (drawn / file).read_bytes() == (DOCS / "images" / file).read_bytes(), "run `make screenshots`"


def test_the_readme_shows_pictures_that_are_drawn() -> None:
    shown = set(re.findall(r"docs/images/([\w-]+)\.svg", (ROOT / "README.md").read_text()))
    assert "race" in shown
    assert shown <= {shot.name for shot in screenshots.SHOTS}


def test_the_recorded_run_is_small_and_names_no_machine() -> None:
    logs = [path for path in (DOCS / "recorded-run").rglob("*") if path.is_file()]
    assert {path.suffix for path in logs} == {".jsonl"}
    assert sum(path.stat().st_size for path in logs) < 500_000
    text = "".join(path.read_text() for path in logs)
    assert not re.search(r"/(home|root|tmp|work)/", text)
    assert set(re.findall(r'"boot":"([^"]*)"', text)) == {"recorded"}
    assert set(re.findall(r'"pid":(\d+)', text)) == {"1"}
