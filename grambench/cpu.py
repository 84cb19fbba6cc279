"""The machine's CPU."""

import platform
from pathlib import Path


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's name; where `cpuinfo` has none (ARM), Python's, which may be empty."""
    try:
        lines = cpuinfo.read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()
