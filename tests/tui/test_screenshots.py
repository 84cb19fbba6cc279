"""The pictures of the README are those that this code draws of the recorded run."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_SPEC = importlib.util.spec_from_file_location("screenshots", DOCS / "screenshots.py")
assert _SPEC is not None
assert _SPEC.loader is not None
screenshots = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(screenshots)


NAMES = {shot.name for shot in screenshots.SHOTS}


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    svgs: dict[str, str] = screenshots.draw_all()
    return svgs


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_picture_is_of_this_code(drawn: dict[str, str], name: str) -> None:
    png = (DOCS / "images" / f"{name}.png").read_bytes()
    assert screenshots.noted_digest(png) == screenshots.digest(drawn[name]), "run `make screenshots`"
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(png) < 250_000


@pytest.mark.skipif(bool(screenshots.missing_tool()), reason="no Chromium with Fira Code, or no pngquant")
def test_chromium_draws_the_picture_that_is_there(drawn: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "narrow.png"
    screenshots.write_png(drawn["narrow"], path)
    ours, there = path.read_bytes(), (DOCS / "images" / "narrow.png").read_bytes()
    assert ours[12:24] == there[12:24]  # width and height
    assert screenshots.noted_digest(ours) == screenshots.noted_digest(there)
    assert 0.7 < len(ours) / len(there) < 1.4, "blank, or in another font"


def test_without_a_tool_its_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["screenshots.py", str(tmp_path / "images")])
    with pytest.raises(SystemExit) as error:
        screenshots.main()
    packages = "chromium fonts-firacode pngquant"
    assert str(error.value) == f"The pictures need {packages.replace(' ', ', ')}: apt-get install {packages}."
    assert not (tmp_path / "images").exists()


def test_the_readme_shows_pictures_that_are_drawn() -> None:
    shown = set(re.findall(r"docs/images/([\w.-]+)", (ROOT / "README.md").read_text()))
    assert "race.png" in shown
    assert shown <= {f"{name}.png" for name in NAMES}
    assert {path.name for path in (DOCS / "images").iterdir()} == {f"{name}.png" for name in NAMES}


def test_the_recorded_run_is_small_and_names_no_machine() -> None:
    logs = [path for path in (DOCS / "recorded-run").rglob("*") if path.is_file()]
    assert {path.suffix for path in logs} == {".jsonl"}
    assert sum(path.stat().st_size for path in logs) < 500_000
    text = "".join(path.read_text() for path in logs)
    assert not re.search(r"/(home|root|tmp|work)/", text)
    assert set(re.findall(r'"boot":"([^"]*)"', text)) == {"recorded"}
    assert set(re.findall(r'"pid":(\d+)', text)) == {"1"}
