"""The README's pictures, drawn from `docs/recorded-run` by `make screenshots`.

The run is real; its logs were recorded by `python docs/screenshots.py --record RUN`, which leaves out
whatever names the machine. Chromium turns the SVG of a screen into PNG with Fira Code, without which it
misaligns. Each PNG holds the digest of its SVG, which a test draws anew.
"""

import argparse
import asyncio
import hashlib
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grambench.tui.app import Dashboard
from grambench.tui.replay import Replay, ReplayDashboard

HERE = Path(__file__).resolve().parent
RECORDED, IMAGES = HERE / "recorded-run", HERE / "images"

SCALE = 1.5
"""Pixels of a picture to one of its SVG."""
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--default-background-color=00000000",
)
_KEY = b"grambench-svg-sha256\0"


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


def draw_all() -> dict[str, str]:
    """Name of a picture -> its SVG."""
    drawn = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "demo"
        shutil.copytree(RECORDED, folder)
        for shot in SHOTS:
            if shot.place == 1:
                (folder / "report.json").write_text("{}")  # as at the end of the run
            drawn[shot.name] = asyncio.run(draw(shot, folder))
            (folder / "report.json").unlink(missing_ok=True)
    return drawn


def missing_tool() -> str:
    """One sentence with what turns an SVG into PNG and is not installed; empty: nothing is missing."""
    fonts = shutil.which("fc-match") and subprocess.run(
        ["fc-match", "Fira Code"], capture_output=True, text=True, check=False
    )
    missing = [
        package
        for package, found in (
            ("chromium", browser()),
            ("fonts-firacode", fonts and "FiraCode" in fonts.stdout),
            ("pngquant", shutil.which("pngquant")),
        )
        if not found
    ]
    return f"The pictures need {', '.join(missing)}: apt-get install {' '.join(missing)}." if missing else ""


def browser() -> str | None:
    """The installed Chromium."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def _seamless(svg: str) -> str:
    """The screen's colour below its cells, whose edges lie between pixels, and room below its last row."""
    ground = Counter(re.findall(r'<rect fill="(#\w+)"', svg)).most_common(1)[0][0]
    svg = re.sub(
        r'(<g [^>]*clip-terminal\)">)', rf'\1<rect width="100%" height="100%" fill="{ground}"/>', svg
    )
    return re.sub(
        r'(clip-terminal">\s*<rect [^>]*height=")([\d.]+)',
        lambda found: f"{found[1]}{float(found[2]) + 4}",
        svg,
    )


def write_png(svg: str, path: Path) -> None:
    """Draw the SVG with Chromium in 128 colours, and note its digest in the file."""
    width, height = (round(float(side)) for side in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    with tempfile.TemporaryDirectory() as scratch:
        source, drawn = Path(scratch) / "screen.svg", Path(scratch) / "screen.png"
        source.write_text(_seamless(svg))
        size = (f"--force-device-scale-factor={SCALE}", f"--window-size={width},{height}")
        _call(str(browser()), *_FLAGS, *size, f"--screenshot={drawn}", source.as_uri())
        _call("pngquant", "--speed", "1", "--nofs", "--force", "--output", str(drawn), "128", str(drawn))
        path.write_bytes(_with_digest(drawn.read_bytes(), svg))


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()[-500:]}")


def digest(svg: str) -> str:
    """What a picture says of the SVG that it was drawn from."""
    return hashlib.sha256(svg.encode()).hexdigest()


def _with_digest(png: bytes, svg: str) -> bytes:
    """The PNG with a text chunk (PNG specification, 11.3.3) before its end, a chunk of 12 bytes."""
    chunk = b"tEXt" + _KEY + digest(svg).encode()
    return (
        png[:-12]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + png[-12:]
    )


def noted_digest(png: bytes) -> str:
    """The digest that `write_png` noted."""
    return png.partition(_KEY)[2][:64].decode()


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
    if missing := missing_tool():
        raise SystemExit(missing)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, svg in draw_all().items():
        write_png(svg, given.out / f"{name}.png")
        sys.stdout.write(f"{given.out / name}.png\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
