"""Number formats for people. A missing number is a dash, never a zero."""

import math
from collections.abc import Sequence

DASH = "–"
GIB = 1 << 30
MIB = 1 << 20
_SPARKS = "▁▂▃▄▅▆▇█"


def count(value: float | None) -> str:
    """A whole number with thousands separators: `51,282`."""
    return DASH if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Something per second, three digits or more: `4,210`, `81.3`, `0.42`."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def score(value: float | None) -> str:
    """A metric between 0 and 1, four decimals."""
    return DASH if value is None else f"{value:.4f}"


def ratio(value: float | None) -> str:
    """A quotient without the multiplication sign: `6.4`, `146`."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def interval(low: float, high: float) -> str:
    """Both ends, with two digits of what lies between them: `0.989–1.020`, `7.4–8.4`."""
    decimals = min(4, max(0, 1 - math.floor(math.log10(high - low)))) if high > low else 4
    return f"{low:,.{decimals}f}–{high:,.{decimals}f}"


def times(value: float | None) -> str:
    """A speed-up: `6.4×`."""
    return DASH if value is None else f"{ratio(value)}×"


def seconds(value: float | None) -> str:
    """Seconds in a column headed by the unit: `8.9`, `1,234`."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def clock(value: float | None) -> str:
    """A duration as on a clock: `0:42`, `12:34`, `1:02:03`, `2 d 03:04`."""
    if value is None:
        return DASH
    total = max(0, round(value))
    hours, rest = divmod(total, 3600)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02d}:{rest // 60:02d}"
    if hours:
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{rest // 60}:{rest % 60:02d}"


def gib(value: float | None) -> str:
    """Bytes in GiB without the unit: `3.2`, `0.51`, `139`."""
    if value is None:
        return DASH
    size = value / GIB
    return f"{size:,.0f}" if size >= 100 else f"{size:.1f}" if size >= 10 else f"{size:.2f}"


def gib_step(value: float) -> float:
    """Bytes by which `value` must change before `gib` shows a different number."""
    return GIB * (1.0 if value >= 100 * GIB else 0.1 if value >= 10 * GIB else 0.01)


def tolerance(value: float | None) -> str:
    """A tiny number with one digit: `3e-15`; `0` is exact; a dash for None."""
    if value is None:
        return DASH
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    digit = round(value / 10.0**exponent)
    if digit == 10:
        digit, exponent = 1, exponent + 1
    return f"{digit}e{exponent}"


def block(share: float) -> str:
    """A share from 0 to 1 as a small block."""
    return _SPARKS[max(0, min(len(_SPARKS) - 1, int(share * len(_SPARKS))))]


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as small blocks, from half the largest shown to a little above it."""
    shown = [value for value in values[-width:] if math.isfinite(value)] if width > 0 else []
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    last = len(_SPARKS) - 1
    return "".join(_SPARKS[max(0, min(last, round((value / top - 0.5) / 0.9 * last)))] for value in shown)
