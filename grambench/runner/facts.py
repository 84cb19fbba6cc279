"""Facts about the machine and the software for the report. Imports none of the packages it names."""

import hashlib
import os
import platform
import socket
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import grambench
from grambench.cpu import cpu_model
from grambench.events.types import GpuSample
from grambench.runner.gpu import GpuSampler

PACKAGES = ("torch", "transformers", "numpy", "textual", "grambench")
_GIT_S = 5.0
_NOT_INSTALLED = "grambench runs from a folder of its source, not from an installed package"


def host_facts(gpu: GpuSampler | None = None) -> dict[str, Any]:
    """The machine and the software, as JSON values; what is unknown is None, with a reason.

    Args:
        gpu: a closed sampler; None: a new one.

    Returns:
        The fields of `grambench.reports.schema.HostFacts`.
    """
    reasons: dict[str, str] = {}

    def fact(name: str, value: Any, reason: str) -> Any:
        if value is None or value == "":
            reasons[name] = reason
            return None
        return value

    commit, changed = _git(Path(grambench.__file__).resolve().parent.parent, reasons)
    gpus, driver = _gpus(gpu or GpuSampler(), reasons)
    packages = {name: installed_version(name) for name in PACKAGES}
    for name in (name for name, version in packages.items() if version is None):
        reasons[f"packages.{name}"] = "the package is not installed"
    return {
        "hostname": fact("hostname", socket.gethostname(), "the host has no name"),
        "os": platform.platform(),
        "cpu_model": fact("cpu_model", cpu_model(), "/proc/cpuinfo names no model"),
        "physical_cores": fact("physical_cores", psutil.cpu_count(logical=False), "psutil cannot tell"),
        "logical_cores": fact("logical_cores", psutil.cpu_count(), "psutil cannot tell"),
        "memory_total_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "packages": packages,
        "git_commit": commit,
        "git_dirty": None if changed is None else changed > 0,
        "git_changed": changed,
        "package_digest": fact("package_digest", _record_digest(), _NOT_INSTALLED),
        "gpus": gpus,
        "driver": driver,
        "reasons": reasons,
    }


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, or of grambench itself; None: it is not installed."""
    if package == "grambench":  # a checkout may be used without being installed
        return grambench.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _record_digest() -> str | None:
    """SHA-256 of the installed distribution's RECORD, which has a digest of each file; None: a checkout."""
    try:
        installed = metadata.distribution("grambench")
    except metadata.PackageNotFoundError:
        return None
    package, record = installed.locate_file("grambench/__init__.py"), installed.read_text("RECORD")
    if record is None or Path(str(package)).resolve() != Path(grambench.__file__).resolve():
        return None
    return hashlib.sha256(record.encode()).hexdigest()


def _git(root: Path, reasons: dict[str, str]) -> tuple[str | None, int | None]:
    """Commit of the checkout that grambench runs from, if it is one, and how many files differ from it."""
    try:
        if not (root / ".git").exists():
            raise OSError("grambench does not run from a git checkout")
        commit = _run_git(root, "rev-parse", "HEAD")
        changed = len(_run_git(root, "status", "--porcelain").splitlines())
    except (OSError, subprocess.SubprocessError) as error:
        reasons |= dict.fromkeys(("git_commit", "git_dirty", "git_changed"), str(error))
        return None, None
    return commit, changed


def _run_git(root: Path, *arguments: str) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_GIT_S,
        check=False,
        env=inherited | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    )
    if done.returncode:
        words = done.stderr.strip().split("\n")[0] or f"exit code {done.returncode}"
        raise OSError(f"git {arguments[0]}: {words}")
    return done.stdout.strip()


def _gpus(sampler: GpuSampler, reasons: dict[str, str]) -> tuple[list[dict[str, Any]], str | None]:
    absent = sampler.open()
    if absent is not None:
        reasons["gpus"] = reasons["driver"] = absent.reason
        return [], None
    try:
        gpus = [_gpu(sample) for sample in sampler.sample()]
        driver = _or_reason(sampler.driver_version, "driver", reasons)
    finally:
        sampler.close()
    return gpus, driver


def _gpu(sample: GpuSample) -> dict[str, Any]:
    name = "memory_total_bytes"
    reasons = {name: sample.reasons[name]} if sample.memory_total_bytes is None else {}
    return {"name": sample.name, "uuid": sample.uuid, name: sample.memory_total_bytes, "reasons": reasons}


def _or_reason(call: Callable[[], str], name: str, reasons: dict[str, str]) -> str | None:
    try:
        return call()
    except Exception as error:  # NVML's errors have no base class before the module is loaded
        reasons[name] = str(error)
        return None
