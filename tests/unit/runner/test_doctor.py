"""The doctor: what it says of each part, what mends it, and whether any run can work."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_nvml import FakeGpu, FakeNvml
from huggingface_hub import constants
from typer.testing import CliRunner

from grambench.cli.app import app
from grambench.runner import doctor
from grambench.runner.doctor import Finding, examine
from grambench.runner.gpu import GpuSampler

CPU_BUILD = {
    "version": "2.13.0+cpu",
    "cuda": None,
    "threads": 2,
    "available": False,
    "trouble": "",
    "devices": [],
    "bf16": False,
    "attention": {"float32": "flash", "bfloat16": "flash"},
}
DEVICE = {"name": "NVIDIA H200", "memory_bytes": 1, "capability": "9.0"}
CUDA_BUILD = CPU_BUILD | {
    "version": "2.13.0",
    "cuda": "12.6",
    "available": True,
    "devices": [DEVICE],
    "bf16": True,
}
Says = Callable[..., None]


@pytest.fixture(autouse=True)
def says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Says:
    """Lets the child say something in place of torch; at first it is a CPU build that finds no GPU."""

    def say(facts: Any = None, *, gpu: bool = False, words: str = "", complaint: str = "") -> None:
        script = (
            f"import sys; sys.stdout.write({words or json.dumps(facts)!r}); sys.stderr.write({complaint!r})"
        )
        command = [sys.executable, "-S", "-c", script]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        monkeypatch.setattr(doctor, "_child", lambda: subprocess.Popen(command, **streams))
        nvml = FakeNvml(*[FakeGpu("GPU-1")] if gpu else [])
        monkeypatch.setattr(doctor, "GpuSampler", lambda: GpuSampler(nvml))

    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(doctor, "getproxies", dict)
    say(CPU_BUILD)
    return say


def found(out: Path, name: str) -> Finding:
    *_, last = (finding for finding in examine(out) if finding.name == name)
    return last


def test_a_machine_in_order_has_a_row_for_each_part(tmp_path: Path, says: Says) -> None:
    says(CUDA_BUILD, gpu=True)
    rows = {finding.name: finding for finding in examine(tmp_path)}
    parts = "grambench packages CPU memory GPU torch attention hub models"
    assert set(parts.split()) | {"data sets", "prepared data", "terminal"} <= set(rows)
    assert rows["GPU"].text.startswith("NVIDIA H200, ")
    assert rows["torch"].text == "2.13.0, CUDA 12.6 build, 2 threads, sees NVIDIA H200 (sm 9.0)"
    assert rows["attention"].text == "flash (float32), flash (bfloat16); bf16"
    assert not any(finding.prevents_runs for finding in rows.values())
    assert all(finding.fix for finding in rows.values() if finding.status == "problem")


@pytest.mark.parametrize(
    ("facts", "visible", "why", "fix"),
    [
        (CPU_BUILD, None, "a CPU build cannot use the GPU", "pip install"),
        (
            CUDA_BUILD | {"available": False, "trouble": "driver too old"},
            None,
            "driver too old",
            "pip install",
        ),
        (CUDA_BUILD | {"available": False, "trouble": "none"}, "", "none", "unset CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_a_problem_but_runs_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Says, facts: Any, visible: Any, why: str, fix: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    says(facts, gpu=True)
    torch = found(tmp_path, "torch")
    assert (torch.status, torch.prevents_runs) == ("problem", False)
    assert why in torch.text
    assert torch.fix.startswith(fix)
    assert CliRunner().invoke(app, ["doctor", "--out", str(tmp_path)]).exit_code == 0


def test_a_torch_that_cannot_be_imported_prevents_every_run(tmp_path: Path, says: Says) -> None:
    says(words="Killed", complaint="Traceback\n  x\nImportError: libc10.so: no such file\n")
    torch = found(tmp_path, "torch")
    assert (torch.text, torch.prevents_runs) == (
        "cannot be imported: ImportError: libc10.so: no such file",
        True,
    )
    told = CliRunner().invoke(app, ["doctor", "--out", str(tmp_path)])
    assert told.exit_code == 4
    assert "No run can work before this is mended." in told.stdout
    document = json.loads(CliRunner().invoke(app, ["doctor", "--json", "--out", str(tmp_path)]).stdout)
    assert document["prevents_runs"]


@pytest.mark.parametrize(
    ("free", "status", "prevents"),
    [(50 << 30, "ok", False), (2 << 30, "note", False), (1 << 20, "problem", True)],
)
def test_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str, prevents: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    disk = found(tmp_path / "runs" / "new", "disk of the runs")
    assert (disk.status, disk.prevents_runs, disk.facts["free_bytes"]) == (status, prevents, free)
    assert bool(disk.fix) == (status != "ok")


def test_a_folder_that_cannot_be_written_prevents_every_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    disk = found(tmp_path / "file" / "runs", "disk of the runs")
    assert (disk.text, disk.prevents_runs) == (f"{tmp_path / 'file'} cannot be written", True)
    assert "--out" in disk.fix


def test_the_hub_is_tried_unless_that_is_forbidden_or_a_proxy_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hubs() -> Iterator[str]:
        yield found(tmp_path, "hub").text
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(doctor, "hub_is_reachable", lambda: False)
        yield found(tmp_path, "hub").text
        monkeypatch.setattr(doctor, "hub_is_reachable", lambda: True)
        yield found(tmp_path, "hub").text
        monkeypatch.setattr(doctor, "getproxies", lambda: {"https": "x"})
        yield found(tmp_path, "hub").text

    for text, words in zip(hubs(), ("OFFLINE is set", "cannot be reached", "can be", "proxy"), strict=True):
        assert words in text


def test_caches_are_measured_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "hub" / "blobs").mkdir(parents=True)
    (tmp_path / "hub" / "blobs" / "a").write_bytes(bytes(3000))
    (tmp_path / "hub" / "link").symlink_to(tmp_path / "hub" / "blobs")
    (tmp_path / "hub" / "a").symlink_to("blobs/a")
    assert found(tmp_path, "models").facts["bytes"] == 3000 + len("blobs/a")
    assert found(tmp_path, "data sets").text == f"nothing yet in {tmp_path / 'cache' / 'datasets'}"


def test_a_quota_below_the_cores_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "quota_cpus", lambda: 0.5)
    cpu = found(tmp_path, "CPU")
    assert (cpu.status, cpu.fix, cpu.facts["quota"]) == ("note", "--set cpu_threads=1", 0.5)
    assert "a quota of 0.5 CPUs" in cpu.text


def test_what_a_run_needs_and_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "textual" else "1")
    packages = found(tmp_path, "packages")
    assert (packages.text, packages.fix) == ("textual missing", "pip install textual")
    assert packages.prevents_runs


def test_the_page_fits_80_columns_and_is_ascii_where_that_is_all(tmp_path: Path) -> None:
    for charset in ("ascii", "utf-8"):
        told = CliRunner(charset=charset).invoke(
            app, ["doctor", "--out", str(tmp_path)], env={"COLUMNS": "80"}
        )
        assert told.exit_code == 0, told.output
        assert told.stdout.isascii() == (charset == "ascii")
        assert max(map(len, told.stdout.splitlines())) <= 80
        assert "grambench run --preset demo" in told.stdout
