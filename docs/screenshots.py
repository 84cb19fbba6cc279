"""The README's pictures, drawn from `docs/recorded-run` by `make screenshots`.

The run is real; its logs were recorded by `python docs/screenshots.py --record RUN`, which leaves out
whatever names the machine. A test draws the pictures anew and compares them.
"""

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grambench.tui.app import Dashboard
from grambench.tui.replay import Replay, ReplayDashboard

HERE = Path(__file__).resolve().parent
RECORDED, IMAGES = HERE / "recorded-run", HERE / "images"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture."""

    name: str
    size: tuple[int, int]
    """Columns and rows."""
    place: float
    """Moment of the run, 0 its start and 1 its end."""
    keys: tuple[str, ...] = ()
    replayed: bool = False
    """With the time bar of `grambench replay`."""


SHOTS = (
    Shot("race", (160, 45), 0.75),
    Shot("finished-light", (120, 40), 1.0, ("t",)),
    Shot("strategy", (160, 45), 0.9, ("v", "v", "v")),
    Shot("system", (120, 30), 0.75, ("y",)),
    Shot("narrow", (80, 24), 0.75),
    Shot("replay", (120, 40), 0.5, (), True),
)


async def draw(shot: Shot, folder: Path) -> str:
    """The picture as SVG; the same run gives the same bytes."""
    replay = Replay(folder)
    replay.paused = True
    replay.seek(shot.place * replay.length_s)
    app = ReplayDashboard(folder, replay) if shot.replayed else Dashboard(folder, reader=replay)
    async with app.run_test(size=shot.size) as pilot:
        for key in (None, *shot.keys):
            if key:
                await pilot.press(key)
            for _ in range(3):  # once more when the panels know their sizes
                await pilot.pause()
                app.redraw()
        await pilot.pause()
        svg = app.export_screenshot(title="grambench")
    return re.sub(r"terminal-\d+", f"terminal-{shot.name}", svg)


def draw_all(out: Path) -> list[Path]:
    """Write every picture into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "demo"
        shutil.copytree(RECORDED, folder)
        for shot in SHOTS:
            if shot.place == 1:
                (folder / "report.json").write_text("{}")  # as at the end of the run
            svg = asyncio.run(draw(shot, folder))
            (folder / "report.json").unlink(missing_ok=True)
            written.append(out / f"{shot.name}.svg")
            written[-1].write_text(svg)
    return written


def record(run: Path, out: Path = RECORDED) -> None:
    """Copy the logs of a run without what names the machine or its processes."""
    shutil.rmtree(out, ignore_errors=True)
    for log in sorted(run.rglob("*.jsonl")):
        target = out / log.relative_to(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(_anonymous(log)))


def _anonymous(log: Path) -> Iterator[str]:
    """The lines of a log: ids of boot and processes, folders and digests replaced."""
    for line in log.read_text().splitlines():
        event = json.loads(line)
        event["boot"] = "recorded"
        for name, plain in (("pid", 1), ("folder", "prepared"), ("log_tail", "")):
            if name in event:
                event[name] = plain
        yield json.dumps(event, separators=(",", ":")) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--record", type=Path, metavar="RUN", help="take up a run's logs first")
    given = parser.parse_args()
    if given.record:
        record(given.record)
    sys.stdout.writelines(f"{path}\n" for path in draw_all(given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
