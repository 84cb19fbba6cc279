import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from fake_nvml import FakeGpu, FakeNvml, error

import grambench
from grambench.cpu import cpu_model
from grambench.reports.schema import HostFacts
from grambench.reports.section import OLDER_REPORT
from grambench.runner import facts
from grambench.runner.gpu import GpuSampler
from grambench.runner.host import HostSampler, host_facts

MIB = 1 << 20
HOLD = "import sys; data = bytearray(int(sys.argv[1])); print('ready', flush=True); sys.stdin.read()"
PARENT = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]],"
    " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
    "child.stdout.readline()\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\n"
    "child.communicate()\n"
)
Spawn = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in processes:
        process.communicate()


def test_the_host_is_measured() -> None:
    sample = HostSampler().sample()
    assert 0 < sample.memory_used_bytes < sample.memory_total_bytes
    assert sample.memory_total_bytes == psutil.virtual_memory().total
    assert 0 <= sample.cpu_percent <= 100


def test_a_worker_is_measured_with_its_children(spawn: Spawn) -> None:
    alone = spawn(HOLD, 0)
    family = spawn(PARENT, 64 * MIB, HOLD)
    sampler = HostSampler()
    small = sampler.process_sample("e2e.s0", alone.pid).rss_bytes
    large = sampler.process_sample("e2e.s0", family.pid).rss_bytes
    assert small is not None
    assert large is not None
    assert large - small > 64 * MIB
    assert len(sampler.family(family.pid)) == 2
    assert sampler.family(alone.pid) == [alone.pid]


def test_children_are_looked_up_again_only_now_and_then(spawn: Spawn) -> None:
    now_s = [0.0]
    sampler = HostSampler(children_s=2.0, clock=lambda: now_s[0])
    sampler.process_sample("t", os.getpid())
    child = spawn(HOLD, 0)
    now_s[0] = 1.0
    sampler.process_sample("t", os.getpid())
    assert child.pid not in sampler.family(os.getpid())
    now_s[0] = 2.0
    sampler.process_sample("t", os.getpid())
    assert child.pid in sampler.family(os.getpid())
    child.communicate()
    now_s[0] = 3.0
    assert sampler.process_sample("t", os.getpid()).rss_bytes is not None


def test_a_cpu_share_needs_two_samples(spawn: Spawn) -> None:
    worker = spawn(HOLD, 0)
    sampler = HostSampler()
    first, second = (sampler.process_sample("t", worker.pid) for _ in range(2))
    assert first.cpu_percent is None
    assert first.reasons == {"cpu_percent": "a share needs two samples"}
    assert second.cpu_percent is not None
    assert second.reasons == {}


def test_a_worker_that_has_ended_is_null_even_while_it_is_a_zombie(spawn: Spawn) -> None:
    worker = spawn(HOLD, 0)
    sampler = HostSampler()
    sampler.process_sample("t", worker.pid)
    assert worker.stdin is not None
    worker.stdin.close()
    worker.stdin = None
    while psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    gone = f"process {worker.pid} has ended"
    for _ in range(2):
        sample = sampler.process_sample("t", worker.pid)
        assert sample.rss_bytes is None
        assert sample.reasons == {"rss_bytes": gone, "cpu_percent": gone}
    worker.wait()
    assert sampler.process_sample("t", worker.pid).reasons["rss_bytes"] == gone
    assert sampler.known() == set()


def test_a_process_that_may_not_be_read_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: psutil.Process) -> None:
        raise psutil.AccessDenied(1, msg="not yours")

    monkeypatch.setattr(psutil.Process, "status", refuse)
    sample = HostSampler().process_sample("t", os.getpid())
    assert sample.rss_bytes is None
    assert "not yours" in sample.reasons["rss_bytes"]


def test_host_facts_fit_the_report_and_are_json() -> None:
    found = host_facts(GpuSampler(FakeNvml(FakeGpu("GPU-a"))))
    assert HostFacts.model_validate_json(json.dumps(found, allow_nan=False)).gpus[0].uuid == "GPU-a"
    assert found["driver"] == "580.12"
    assert found["gpus"][0]["name"] == "NVIDIA H200"
    assert found["packages"]["numpy"]
    assert found["memory_total_bytes"] == psutil.virtual_memory().total


def test_host_facts_say_why_a_gpu_is_missing() -> None:
    nvml = FakeNvml()
    nvml.init = error("DRIVER_NOT_LOADED")
    found = host_facts(GpuSampler(nvml))
    assert (found["gpus"], found["driver"]) == ([], None)
    assert found["reasons"]["gpus"] == found["reasons"]["driver"] == "Driver Not Loaded"
    HostFacts.model_validate(found)


def test_host_facts_of_a_gpu_without_memory_fit_the_report() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.fail("GPU_IS_LOST")
    found = host_facts(GpuSampler(FakeNvml(gpu)))
    assert HostFacts.model_validate(found).gpus[0].reasons == {"memory_total_bytes": "GPU is lost"}


def test_a_package_that_is_not_installed_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PACKAGES", ("no-such-package-here",))
    found = host_facts(GpuSampler(FakeNvml()))
    assert found["packages"] == {"no-such-package-here": None}
    assert "packages.no-such-package-here" in found["reasons"]


def test_facts_are_found_without_importing_the_heavy_packages() -> None:
    script = (
        "import sys; from grambench.runner.host import host_facts; host_facts();"
        "print(sorted({'torch', 'transformers', 'textual', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_commit_and_dirty_flag_follow_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "grambench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(grambench, "__file__", str(package / "__init__.py"))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    no_gpu = GpuSampler(FakeNvml())
    assert "not run from a git checkout" in host_facts(no_gpu)["reasons"]["git_commit"]
    monkeypatch.delenv("GIT_DIR")
    git(tmp_path, "init", "-q")
    assert "git rev-parse" in host_facts(no_gpu)["reasons"]["git_commit"]
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    clean = host_facts(no_gpu)
    assert (len(clean["git_commit"]), clean["git_dirty"], clean["git_changed"]) == (40, False, 0)
    (package / "__init__.py").write_text("changed")
    (tmp_path / "a file").write_text("new")
    changed = host_facts(no_gpu)
    assert (changed["git_dirty"], changed["git_changed"]) == (True, 2)


def test_an_installed_package_is_known_by_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = "grambench/__init__.py,sha256=abc,0\n"
    information = tmp_path / "grambench-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: grambench\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    no_gpu = GpuSampler(FakeNvml())
    assert "a folder of its source" in host_facts(no_gpu)["reasons"]["package_digest"]
    monkeypatch.setattr(grambench, "__file__", str(tmp_path / "grambench" / "__init__.py"))
    assert host_facts(no_gpu)["package_digest"] is None  # installed without a record
    (information / "RECORD").write_text(record)
    found = host_facts(no_gpu)
    assert found["package_digest"] == hashlib.sha256(record.encode()).hexdigest()
    assert "package_digest" not in found["reasons"]
    assert found["reasons"]["git_changed"] == "grambench does not run from a git checkout"


def test_host_facts_of_earlier_versions_say_what_was_not_known() -> None:
    older = host_facts(GpuSampler(FakeNvml()))
    for name in ("git_changed", "package_digest"):
        del older[name]
        older["reasons"].pop(name, None)
    found = HostFacts.model_validate(older)
    assert (found.git_changed, found.package_digest) == (None, None)
    assert found.reasons["git_changed"] == found.reasons["package_digest"] == OLDER_REPORT


def test_a_machine_without_git_has_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(grambench, "__file__", str(tmp_path / "grambench" / "__init__.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = host_facts(GpuSampler(FakeNvml()))
    assert found["git_commit"] is None
    assert "git" in found["reasons"]["git_dirty"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9654\n", "AMD EPYC 9654"),
        ("processor\t: 0\n\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
    ],
)
def test_the_cpus_name_comes_from_the_kernel(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_model(tmp_path / "cpuinfo") == name
    assert cpu_model(tmp_path / "missing")
