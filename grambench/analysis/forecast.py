"""What a trial will cost: counts of its sampler times seconds and bytes that a probe has measured.

Only arithmetic; `worker/forecast.py` counts and measures. One process: ranks are not considered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grambench.events.types import TrialForecast


@dataclass(frozen=True, slots=True)
class Drawn:
    """The batches of an epoch: a mean over some of them."""

    batches: float
    """In an epoch; a shorter last one counts in part."""
    occurrences: float
    """Appearances of items in a batch."""
    items: float
    """Distinct items of a batch."""


@dataclass(frozen=True, slots=True)
class WindowWork:
    """Windows of one length."""

    times: float
    """In an epoch; below 1 where a window is longer than an epoch."""
    items: int
    """Distinct items of such a window."""
    tokens: int
    """Of these items, padding excluded."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """What each step encodes, on average."""

    items: float
    """0: the strategy keeps vectors for longer than a step."""
    tokens: float
    """Of these items, padding excluded."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Measured, each of one unit of work."""

    draw: float
    """A batch."""
    step: float
    """The rest of a CF step on a mean batch, updates included, and the encoder where each step trains it."""
    forward: float = 0.0
    """A token, without a graph."""
    both: float = 0.0
    """A token, forwards and backwards."""
    update: float = 0.0
    """An update of the encoder when a window closes."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Memory of a trial."""

    base: int
    """In use before the first step: weights and data; on a CPU also the libraries."""
    trained: int
    """Of the trained weights, whose gradient and two moments take as much each."""
    graph: int
    """The most that is held at once for backward passes, their own temporaries included."""
    vectors: int
    """Item vectors and other states that are kept beside the weights."""

    @property
    def peak(self) -> int:
        """All of it at once."""
        return self.base + 3 * self.trained + self.graph + self.vectors


def forecast(
    drawn: Drawn,
    step: StepWork,
    windows: Sequence[WindowWork],
    seconds: Seconds,
    memory: Bytes,
    *,
    encoder_batch: int = 1,
    encoder_passes: int = 1,
    note: str = "",
) -> TrialForecast:
    """Seconds, bytes and counts of a trial.

    Args:
        drawn: its batches.
        step: what each step encodes.
        windows: those of an epoch, each of which is encoded when it opens and fitted when it closes.
        seconds: measured.
        memory: measured.
        encoder_batch: items in an update of the encoder when a window closes.
        encoder_passes: passes over the window's items then.
        note: what the prediction leaves out.
    """
    epoch_s = drawn.batches * (seconds.draw + seconds.step)
    items, tokens = drawn.batches * step.items, drawn.batches * step.tokens
    for window in windows:
        updates = encoder_passes * math.ceil(window.items / encoder_batch)
        encoder_s = window.tokens * (seconds.forward + encoder_passes * seconds.both)
        epoch_s += window.times * (encoder_s + updates * seconds.update)
        items += window.times * (1 + encoder_passes) * window.items
        tokens += window.times * (1 + encoder_passes) * window.tokens
    return TrialForecast(
        epoch_s=epoch_s,
        peak_bytes=memory.peak,
        reuse_ratio=_reuse(drawn, step, windows),
        reuse_of_batch=drawn.occurrences / drawn.items if drawn.items else None,
        items_per_epoch=round(items),
        tokens_per_epoch=round(tokens),
        note=note,
    )


def along(smaller: tuple[float, float], larger: tuple[float, float], size: float) -> float:
    """Seconds, or bytes, at a size from those at two others: what each call costs does not grow.

    From no seconds at no size, in proportion; never less than constant.
    """
    (size_0, seconds_0), (size_1, seconds_1) = smaller, larger
    most = seconds_1 / max(1.0, size_1)
    growth = (seconds_1 - seconds_0) / (size_1 - size_0) if size_1 > size_0 else most
    return seconds_1 + min(most, max(0.0, growth)) * (size - size_1)


def between(fewest: TrialForecast, most: TrialForecast) -> TrialForecast:
    """Of a trial whose windows end by drift: what its training decides is null, and the note has the range.

    Args:
        fewest: with windows of the greatest length.
        most: with windows of the least length.
    """
    return replace(
        fewest,
        epoch_s=None,
        reuse_ratio=None,
        items_per_epoch=None,
        tokens_per_epoch=None,
        note=f"{fewest.epoch_s:.2g} to {most.epoch_s:.2g} s an epoch: the drift decides how long windows are",
    )


def _reuse(drawn: Drawn, step: StepWork, windows: Sequence[WindowWork]) -> float | None:
    """Occurrences over the items that the strategy has to encode for them (eq. 10, 11)."""
    of_windows = sum(window.times * window.items for window in windows)
    items = of_windows if windows else drawn.batches * step.items
    return drawn.batches * drawn.occurrences / items if items else None
