"""What a run finds on this machine: each part, whether it is in order, and the command that mends it."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.request import getproxies

import psutil
from rich.console import Console

import grambench
from grambench.config.paths import cache_dir, dataset_dir, prepared_dir
from grambench.cpu import cpu_model
from grambench.hub import HUB, hub_is_reachable
from grambench.runner.facts import PACKAGES, installed_version
from grambench.runner.gpu import GpuSampler
from grambench.runner.groups import quota_cpus
from grambench.views import numbers

_TORCH_S = 120.0
"""Longest import of torch that is waited for, from a slow disk."""
_LITTLE_DISK, _NO_DISK = 5 << 30, 100 << 20
_LITTLE_MEMORY = 2 << 30
_NARROW, _LOW = 80, 24
_REINSTALL = "pip install --force-reinstall --no-cache-dir torch"
Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One part of the machine."""

    name: str
    text: str
    status: Status = "ok"
    """`note`: runs work, though not in every respect; `problem`: something is not as it should be."""
    fix: str = ""
    """The command that mends it, or what to do; empty: there is nothing to mend."""
    prevents_runs: bool = False
    """No run can work before it is mended."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The numbers, for programs."""


def examine(out: Path) -> Iterator[Finding]:
    """The findings, each as soon as it is there.

    `out`: the folder that is to hold the runs.
    """
    with _child() as torch:
        yield _software()
        yield from _packages()
        yield _cpu()
        yield _memory()
        gpus = [*_gpus()]
        yield from gpus
        yield from _torch(torch, any(gpu.facts for gpu in gpus))
    yield from _hub()
    yield from (_cache(name, folder) for name, folder in _caches())
    yield _disk("disk of the runs", out, "another folder with --out")
    yield _disk("disk of the cache", cache_dir(), "another folder in GRAMBENCH_CACHE")
    yield _terminal()


def _child() -> "subprocess.Popen[str]":
    """Asks torch in a process of its own, while everything else is examined."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "grambench.worker.torch_facts"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _software() -> Finding:
    version = platform.python_version()
    text = f"{grambench.__version__} on Python {version}, {platform.system()} {platform.release()}"
    return Finding(name="grambench", text=text, facts={"grambench": grambench.__version__, "python": version})


def _packages() -> Iterator[Finding]:
    versions = {name: installed_version(name) for name in PACKAGES if name not in ("grambench", "torch")}
    missing = [name for name, version in versions.items() if version is None]
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if there:
        yield Finding(name="packages", text=there, facts=versions)
    if missing:
        fix = f"pip install {' '.join(missing)}"
        text = f"{', '.join(missing)} missing"
        yield Finding(name="packages", text=text, status="problem", fix=fix, prevents_runs=True)


def _cpu() -> Finding:
    cores, threads, quota = psutil.cpu_count(logical=False), psutil.cpu_count(), quota_cpus()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    facts = {"model": cpu_model(), "cores": cores, "threads": threads, "usable": usable, "quota": quota}
    parts = [cpu_model(), f"{cores or '?'} cores, {threads} threads"]
    if usable != threads:
        parts.append(f"{usable} of them usable")
    if quota is None or usable is None or quota >= usable:
        return Finding(name="CPU", text=", ".join(parts), facts=facts)
    fix = f"--set cpu_threads={max(1, int(quota))}"
    parts.append(f"a quota of {quota:g} CPUs, which slows threads beyond it")
    return Finding(name="CPU", text=", ".join(parts), status="note", fix=fix, facts=facts)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    facts = {"total_bytes": memory.total, "available_bytes": memory.available}
    text = f"{numbers.gib(memory.available)} GiB available of {numbers.gib(memory.total)}"
    if memory.available >= _LITTLE_MEMORY:
        return Finding(name="memory", text=text, facts=facts)
    fix = "end other programs, or give smaller batches: --set training.batch_size=32"
    return Finding(name="memory", text=text, status="note", fix=fix, facts=facts)


def _gpus() -> Iterator[Finding]:
    sampler = GpuSampler()
    absent = sampler.open()
    if absent is not None:
        text = f"none that NVIDIA's driver lists ({absent.reason}): runs train on the CPU"
        fix = "if there is one: install the driver, until nvidia-smi lists it"
        yield Finding(name="GPU", text=text, status="note", fix=fix)
        return
    try:
        driver = sampler.driver_version()
        for gpu in sampler.sample():
            text = f"{gpu.name}, {numbers.gib(gpu.memory_total_bytes)} GiB, driver {driver}"
            why = gpu.reasons.get("memory_total_bytes")
            facts = {"uuid": gpu.uuid, "memory_bytes": gpu.memory_total_bytes, "driver": driver}
            status: Status = "note" if why else "ok"
            yield Finding(name="GPU", text=f"{text} ({why})" if why else text, status=status, facts=facts)
    except Exception as error:  # NVML's errors have no base class before the module is loaded
        yield Finding(name="GPU", text=f"NVML fails: {error}", status="problem", fix="nvidia-smi")
    finally:
        sampler.close()


def _torch(child: "subprocess.Popen[str]", has_gpu: bool) -> Iterator[Finding]:
    try:
        said, complaint = child.communicate(timeout=_TORCH_S)
        facts = json.loads(said)
    except subprocess.TimeoutExpired:
        child.kill()
        text = f"its import takes longer than {_TORCH_S:.0f} s"
        yield Finding(name="torch", text=text, status="problem", fix=_REINSTALL, prevents_runs=True)
    except ValueError:
        last = (complaint.strip().split("\n") or [""])[-1] or f"exit code {child.returncode}"
        text = f"cannot be imported: {last}"
        yield Finding(name="torch", text=text, status="problem", fix=_REINSTALL, prevents_runs=True)
    else:
        yield _build(facts, has_gpu)
        kernels = ", ".join(f"{kernel} ({dtype})" for dtype, kernel in facts["attention"].items())
        bf16 = "; bf16" if facts["bf16"] else ""
        yield Finding(name="attention", text=f"{kernels}{bf16}", facts=facts["attention"])


def _build(facts: dict[str, Any], has_gpu: bool) -> Finding:
    build = f"CUDA {facts['cuda']}" if facts["cuda"] else "CPU"
    text = f"{facts['version']}, {build} build, {facts['threads']} threads"
    if facts["available"]:
        names = ", ".join(f"{one['name']} (sm {one['capability']})" for one in facts["devices"])
        return Finding(name="torch", text=f"{text}, sees {names}", facts=facts)
    if not has_gpu:
        return Finding(name="torch", text=text, facts=facts)
    why = facts["trouble"] or "a CPU build cannot use the GPU"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    fix = "unset CUDA_VISIBLE_DEVICES" if hidden in ("", "-1") else _REINSTALL
    return Finding(name="torch", text=f"{text}: {why}", status="problem", fix=fix, facts=facts)


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants

    token = bool(os.environ.get("HF_TOKEN")) or Path(constants.HF_TOKEN_PATH).is_file()
    words = "a token" if token else "no token, which only gated models need"
    facts = {"endpoint": constants.ENDPOINT or HUB, "token": token}
    mend = "hf download MODEL where there is a network, or --set encoder.model=FOLDER"
    if constants.HF_HUB_OFFLINE:
        text = f"HF_HUB_OFFLINE is set: only cached models can be used; {words}"
        yield Finding(name="hub", text=text, status="note", fix="unset HF_HUB_OFFLINE", facts=facts)
    elif getproxies():
        yield Finding(name="hub", text=f"behind a proxy, so not tried; {words}", facts=facts)
    elif hub_is_reachable():
        yield Finding(name="hub", text=f"{facts['endpoint']} can be reached; {words}", facts=facts)
    else:
        text = f"{facts['endpoint']} cannot be reached: only cached models can be used; {words}"
        yield Finding(name="hub", text=text, status="note", fix=mend, facts=facts)


def _caches() -> Iterator[tuple[str, Path]]:
    from huggingface_hub import constants

    yield "data sets", dataset_dir("")
    yield "prepared data", prepared_dir()
    yield "models", Path(constants.HF_HUB_CACHE)


def _cache(name: str, folder: Path) -> Finding:
    size = sum(_sizes(folder))
    text = f"{numbers.gib(size)} GiB in {folder}" if size else f"nothing yet in {folder}"
    return Finding(name=name, text=text, facts={"folder": str(folder), "bytes": size})


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes of the files below a folder; links are not followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(f"{place}/{name}").st_size
            except OSError:
                continue


def _disk(name: str, folder: Path, elsewhere: str) -> Finding:
    folder = folder.expanduser().absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    text, facts = f"{numbers.gib(free)} GiB free in {there}", {"folder": str(there), "free_bytes": free}
    if not os.access(there, os.W_OK) or not there.is_dir():
        text = f"{there} cannot be written"
        return Finding(name=name, text=text, status="problem", fix=elsewhere, prevents_runs=True, facts=facts)
    if free >= _LITTLE_DISK:
        return Finding(name=name, text=text, facts=facts)
    none = free < _NO_DISK
    status: Status = "problem" if none else "note"
    return Finding(name=name, text=text, status=status, fix=elsewhere, prevents_runs=none, facts=facts)


def _terminal() -> Finding:
    console = Console(stderr=True)
    colours = {"truecolor": "16 million colours", "256": "256 colours", "standard": "16 colours"}
    width, height = console.size
    facts = {"columns": width, "lines": height, "colours": console.color_system, "encoding": console.encoding}
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        text = "stdin and stderr are no terminal: runs print lines instead of the dashboard"
        return Finding(name="terminal", text=text, status="note", facts=facts)
    text = f"{width} x {height}, {colours.get(console.color_system or '', 'no colours')}, {console.encoding}"
    faults: dict[str, bool] = {
        f"make it at least {_NARROW} x {_LOW}": width < _NARROW or height < _LOW,
        "export LC_ALL=C.UTF-8": not console.encoding.startswith("utf"),
        "export TERM=xterm-256color": console.color_system is None and not os.environ.get("NO_COLOR"),
    }
    fix = next((mend for mend, needed in faults.items() if needed), "")
    return Finding(name="terminal", text=text, status="note" if fix else "ok", fix=fix, facts=facts)
