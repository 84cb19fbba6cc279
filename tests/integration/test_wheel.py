"""The wheel: everything that is read at run time travels in it."""

import contextlib
import importlib.util
import json
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from grambench.config.presets import preset_names

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs" / "recorded-run"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unzipped wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    here = importlib.util.find_spec("hatchling") is not None
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(folder)]
    isolated = ["--no-build-isolation"] if here else []
    built = subprocess.run(
        [*command, *isolated, str(ROOT)], capture_output=True, text=True, timeout=1200, check=False
    )
    if built.returncode and not here and "hatchling" in built.stderr:
        pytest.skip("hatchling is neither installed nor to be had from the package index")
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(unpacked: Path) -> None:
    package = unpacked / "grambench"
    needed = {
        path.relative_to(ROOT / "grambench")
        for path in (ROOT / "grambench").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in needed if not (package / path).is_file()} == set()
    assert {path.suffix for path in needed} >= {".py", ".typed", ".tcss", ".j2"}
    presets = {path.name for path in (ROOT / "presets").glob("*.toml")}
    assert {path.name for path in (package / "presets").glob("*.toml")} == presets
    recorded = {path.relative_to(RECORDED) for path in RECORDED.rglob("*.jsonl")}
    assert {path for path in recorded if not (package / "recorded-run" / path).is_file()} == set()
    assert not (unpacked / "tests").exists()


@pytest.mark.slow
def test_an_installed_wheel_finds_its_presets_and_templates(unpacked: Path, tmp_path: Path) -> None:
    code = "import grambench; print(grambench.__file__); from grambench.cli.app import main; main()"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code, "presets", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    where, _, listed = ended.stdout.partition("\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert Path(where).is_relative_to(unpacked)
    names = [row["name"] for row in json.loads(listed)]
    assert names == preset_names()
    assert "demo-kt" in names


_PLAYED = """
import json, sys
import grambench
from grambench.cli.app import main
sys.argv = ["grambench", "replay", "--demo"]
try:
    main()
finally:
    print(json.dumps([grambench.__file__, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.slow
def test_an_installed_wheel_plays_its_recorded_race_without_torch(unpacked: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _PLAYED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked), "TERM": "xterm-256color"},
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        text=True,
    ) as played:
        os.close(theirs)
        seen = b""
        while b"null-e2e" not in seen:
            seen += os.read(ours, 65536)
        os.write(ours, b"q")
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(ours, 65536):  # a full terminal would hold up the end
                seen += data
        said, _ = played.communicate(timeout=600)
    os.close(ours)
    assert played.returncode == 0, seen
    where, modules = json.loads(said.splitlines()[-1])
    assert Path(where).is_relative_to(unpacked)
    assert "textual" in modules
    assert not {"torch", "transformers"} & set(modules)
    assert list(tmp_path.iterdir()) == []
