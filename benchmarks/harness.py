"""What the benchmarks share: interleaved timing, medians with spreads, claims, a table and a JSON file.

A script holds one claim or a few about the same work, runs alone (`python -m benchmarks.NAME`), prints
its table and writes `benchmarks/results/NAME.json`; `docs/benchmarks.md` is made from these files
(`python -m benchmarks.page`). `--smoke` shrinks the work until every line has run once: for the tests,
its numbers mean nothing and are not written.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from grambench.fs import write_atomic

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """Repeated measurements of one thing, in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def over(self, other: "Sample") -> "Sample":
        """Ratios of the values that were measured in the same round."""
        return Sample(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def __str__(self) -> str:
        if len(self.values) == 1:
            return short(self.values[0])
        return f"{short(self.median)} ({short(self.low)} to {short(self.high)})"


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence with a bound and what was measured."""

    text: str
    value: float
    bound: float
    kind: Literal["at least", "at most"]
    unit: str = ""
    note: str = ""
    """What a reader must know to judge the number."""

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.kind == "at least" else self.value <= self.bound


@dataclass(slots=True)
class Bench:
    """One script's results."""

    name: str
    title: str
    device: str = "cpu"
    rows: list[dict[str, str]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """Sizes and settings that determine the numbers."""
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Every raw measurement, by name with its unit."""
    smoke: bool = False
    command: str = ""
    """What measures this; left out: the script of this name, without options."""
    folder: Path | None = None
    """Where the file goes; None: among the checkout's results."""
    began_ns: int = field(default_factory=time.monotonic_ns)
    place: dict[str, Any] = field(default_factory=dict)
    """Machine and commit, found when they are first written."""

    def row(self, **cells: object) -> None:
        """One line of the table, columns in the order of their first use."""
        self.rows.append({column.replace("_", " "): str(value) for column, value in cells.items()})

    def claim(self, claim: Claim) -> None:
        self.claims.append(claim)

    def finish(self) -> int:
        """Print the tables, write the file; 0 if every claim is met, 6 otherwise."""
        console = Console(width=max(100, Console().width))
        console.print(f"\n[bold]{self.title}[/bold]")
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for column in dict.fromkeys(name for row in self.rows for name in row):
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*(row.get(str(column.header), "") for column in table.columns))
        console.print(table)
        for claim in self.claims:
            verdict = "met" if claim.met else "NOT MET"
            console.print(
                f"{verdict:8}{claim.text}: {short(claim.value)}{claim.unit}"
                f" ({claim.kind} {short(claim.bound)}{claim.unit}) {claim.note}",
                style="" if self.smoke or claim.met else "bold red",
                markup=False,
                highlight=False,
            )
        if self.smoke:
            console.print("smoke run: the numbers mean nothing")
            return 0
        self.write()
        return 0 if all(claim.met for claim in self.claims) else 6

    @property
    def path(self) -> Path:
        """The file with the results."""
        return (self.folder or RESULTS) / f"{self.name}.json"

    def write(self) -> None:
        """Write the file so that it is always whole: what was found is there should the process end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        claims = [{**asdict(claim), "met": claim.met} for claim in self.claims]
        self.place = self.place or {"machine": machine(), "commit": commit()}
        document = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "title": self.title,
            "command": self.command or f"python -m benchmarks.{self.name}",
            "device": self.device,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "seconds": round((time.monotonic_ns() - self.began_ns) / 1e9, 1),
            **self.place,
            "facts": self.facts,
            "rows": self.rows,
            "claims": claims,
            "samples": self.samples,
        }
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomic(self.path, text)

    def reload(self) -> None:
        """Take over what another process has written to the file."""
        document = json.loads(self.path.read_text())
        self.device, self.rows, self.facts = (document[name] for name in ("device", "rows", "facts"))
        self.place = {name: document[name] for name in ("machine", "commit")}
        self.samples = {name: tuple(values) for name, values in document["samples"].items()}
        self.claims = [
            Claim(**{name: value for name, value in claim.items() if name != "met"})
            for claim in document["claims"]
        ]


def bench(name: str, title: str, **options: object) -> tuple[Bench, argparse.Namespace]:
    """The script's bench and its parsed options: `--smoke` and whatever `options` names with defaults."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=title)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: run every line, claim nothing")
    for option, default in options.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=type(default), default=default)
    given = parser.parse_args()
    return Bench(name, title, smoke=given.smoke), given


def interleave(
    sides: Mapping[str, Callable[[], object]], rounds: int, warm_ups: int = 1
) -> dict[str, Sample]:
    """Wall seconds of each side, the sides taking turns; the order turns round every other time.

    A side that returns a number reports its own seconds (for example of the encoder alone).
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm_ups, rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(list(sides)))
        for name in names:
            began_ns = time.monotonic_ns()
            own = sides[name]()
            wall_s = (time.monotonic_ns() - began_ns) / 1e9
            if number >= 0:
                seconds[name].append(float(own) if isinstance(own, (int, float)) else wall_s)
    return {name: Sample(tuple(values)) for name, values in seconds.items()}


def machine() -> dict[str, object]:
    """What the numbers belong to."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """Short hash of the checkout; `+` where the code of the package or the benchmarks was changed."""

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # a machine that got a copy of the checkout has no git
            return ""
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "../grambench", "../presets", ".", ":!results")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def quiet_machine() -> None:
    """Say on stderr when other processes are running: their load goes into the numbers."""
    load = os.getloadavg()[0]
    if load > 1.0:
        print(f"note: the load average is {load:.1f}; other processes disturb the timings", file=sys.stderr)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def short(value: float) -> str:
    """Three significant figures."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
