"""TensorBoard: one folder a trial, with event files that need no TensorFlow to be written or read."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from grambench.export.exporter import Exporter, Steps
from grambench.export.points import Point
from grambench.export.tfrecord import (
    bytes_field,
    double_field,
    fields,
    float_field,
    frame,
    frames,
    number_field,
)

_WALL, _STEP, _VERSION, _SUMMARY = 1, 2, 3, 5
"""Fields of `Event`."""
_VALUE, _TAG, _SIMPLE, _TENSOR, _METADATA = 1, 1, 2, 8, 9
"""Field of `Summary`, and fields of `Summary.Value`."""
_DTYPE, _SHAPE, _STRING, _DT_STRING = 1, 2, 8, 7
"""Fields of `TensorProto`, and the type of strings."""
_SETTINGS = "settings"


def sink(folder: Path, output: str) -> Exporter:
    """Event files in `<output>/<run>/<trial>`."""
    return Exporter(folder, TensorBoardWriter(Path(output), folder.name))


class TensorBoardWriter:
    """Writes `<output>/<run>/<trial>/events.out.tfevents.*`; an export that has something new adds a file."""

    def __init__(self, output: Path, run: str) -> None:
        self._folder = output / run
        self._files: dict[str, BinaryIO] = {}

    def open(self, stream: str, settings: Mapping[str, str]) -> Steps:
        """See `Writer`."""
        folder = self._folder / stream
        folder.mkdir(parents=True, exist_ok=True)
        steps = dict[str, int]()
        for path in sorted(folder.glob("events.out.tfevents.*")):
            for series, step in _written(path):
                steps[series] = max(step, steps.get(series, step))
        if _SETTINGS not in steps:
            self._append(stream, time.time(), 0, _summary(_SETTINGS, *_text(_table(settings))))
        return steps

    def write(self, point: Point) -> None:
        """See `Writer`."""
        summary = _summary(point.series, float_field(_SIMPLE, point.value))
        self._append(point.stream, point.wall_s, point.step, summary)

    def _append(self, stream: str, wall_s: float, step: int, what: bytes) -> None:
        if stream not in self._files:
            name = f"events.out.tfevents.{time.time_ns() // 1000}.grambench.{os.getpid()}"
            self._files[stream] = (self._folder / stream / name).open("xb")
            self._append(stream, wall_s, 0, bytes_field(_VERSION, b"brain.Event:2"))
        self._files[stream].write(frame(double_field(_WALL, wall_s) + number_field(_STEP, step) + what))

    def flush(self) -> None:
        """See `Writer`."""
        for file in self._files.values():
            file.flush()

    def close(self, _: Mapping[str, str | None]) -> None:
        """See `Writer`."""
        for file in self._files.values():
            file.close()


def _summary(tag: str, *value: bytes) -> bytes:
    return bytes_field(_SUMMARY, bytes_field(_VALUE, bytes_field(_TAG, tag.encode()), *value))


def _text(text: str) -> tuple[bytes, bytes]:
    """A tensor of one string, and the metadata that make TensorBoard show it as text."""
    shape = bytes_field(_SHAPE, bytes_field(2, number_field(1, 1)))
    tensor = number_field(_DTYPE, _DT_STRING) + shape + bytes_field(_STRING, text.encode())
    return bytes_field(_TENSOR, tensor), bytes_field(_METADATA, bytes_field(1, bytes_field(1, b"text")))


def _table(settings: Mapping[str, str]) -> str:
    """A Markdown table, which TensorBoard renders."""
    rows = (f"| {key} | {_cell(value)} |" for key, value in settings.items())
    return "\n".join(("| setting | value |", "| --- | --- |", *rows))


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())


def _written(path: Path) -> Iterator[tuple[str, int]]:
    """Series and step of each value in an event file; a damaged rest is left out."""
    with contextlib.suppress(ValueError):
        for data in frames(path):
            event = dict(fields(data))
            summary, step = event.get(_SUMMARY), event.get(_STEP, 0)
            if isinstance(summary, bytes) and isinstance(step, int):
                for _, value in fields(summary):
                    tag = dict(fields(value)).get(_TAG) if isinstance(value, bytes) else None
                    if isinstance(tag, bytes):
                        yield tag.decode(), step
