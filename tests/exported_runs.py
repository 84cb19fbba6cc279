"""Runs to export: the recorded race as a run folder, and logs written line by line."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grambench.config.presets import load_preset
from grambench.events import types as ev
from grambench.events.codec import Stamp, encode
from grambench.export import destinations
from grambench.runner.rundir import create_run

RECORDED = Path(__file__).parents[1] / "docs" / "recorded-run"


def recorded_race(out: Path) -> Path:
    """A run folder with the logs of the recorded race."""
    folder = create_run(load_preset("demo", []), "demo", out, ["grambench", "run"])
    shutil.copytree(RECORDED, folder, dirs_exist_ok=True)
    return folder


def export(folder: Path, target: str) -> None:
    """Export what the logs hold now."""
    destinations.export(folder, target, lambda _: True)


@dataclass
class WrittenRun:
    """A run of `e2e` whose logs are written by hand."""

    folder: Path
    lines: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, out: Path) -> "WrittenRun":
        return cls(create_run(load_preset("demo", []), "demo", out, ["grambench", "run"]))

    def log(self, source: str, t_s: float, *events: ev.Event) -> None:
        """Append events `t_s` seconds after 10:00:00 to the log of `source`; empty: the supervisor's."""
        path = self.folder / source / "events.jsonl" if source else self.folder / "supervisor.jsonl"
        path.parent.mkdir(exist_ok=True)
        wall = f"2026-11-28T10:{int(t_s) // 60:02}:{int(t_s) % 60:02}.000+00:00"
        with path.open("ab") as file:
            for event in events:
                seq = self.lines[source] = self.lines.get(source, -1) + 1
                file.write(encode(event, Stamp(seq, int(t_s * 1e9), "boot", wall)))

    def start(self, t_s: float = 0.0) -> None:
        self.log("", t_s, ev.RunStarted(self.folder.name, "demo", ["e2e.s0"], 1, "BERT", "demo"))

    def train(self, t_s: float, *steps: int, loss: float | None = 0.5) -> None:
        self.log("e2e.s0", t_s, *(progress(step, loss=loss) for step in steps))

    def finish(self, t_s: float, code: int = 0) -> None:
        self.log("", t_s, ev.RunFinished(code, t_s))


def progress(step: int, **changes: Any) -> ev.Progress:
    """A tenth of a second and 4 samples a step."""
    fields: dict[str, Any] = {
        "epoch": 1,
        "step": step,
        "train_s": step / 10,
        "encode_s": step / 20,
        "samples": 4 * step,
        "occurrences": 20 * step,
        "unique_items": 10 * step,
        "items_encoded": 10 * step,
        "tokens_encoded": 50 * step,
        "loss": 0.5,
        "encoder_lr": 1e-4,
        "filter_lr": 1e-3,
    }
    return ev.Progress(**fields | changes)


def planned() -> ev.TrialPlanned:
    return ev.TrialPlanned("e2e", 0, 100, 200, 4, 1, 1000, 100, settings={"training.batch_size": 7})
