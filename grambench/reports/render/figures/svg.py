"""Figures as SVG: colours by class, for light and dark; text in the reader's own sans-serif."""

from collections.abc import Iterable, Iterator
from html import escape
from math import dist

from grambench.reports.render.figures.chart import Axis, Bar, Bars, Chart, Curve, Dot, Figure, Key, legend
from grambench.text import safe_text
from grambench.views.palette import DARK, LIGHT, Tones

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans','DejaVu Sans',Arial,sans-serif"
WIDTH = 440
"""Of every figure, in pixels: legible on a phone without zooming."""
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 250, 68, 20, 8, 46
_LINE, _BAR = 19, 24
_CHARACTER = 7.6
"""Pixels of an average character, to place words beside each other."""
_GROUNDS = ("#ffffff", "#0f1419")
_DISC, _SQUARE = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.5-3.5h7v7h-7z"
_UP, _DOWN = "M0-4.6L4.4 3.4H-4.4z", "M0 4.6L4.4-3.4H-4.4z"
_DIAMOND = "M0-5L5 0L0 5L-5 0z"
_STAR = "M0-5.2L1.4-1.6L5-1.6L2.1.7L3.1 4.2L0 2.2L-3.1 4.2L-2.1.7L-5-1.6L-1.4-1.6z"
_SOLID = {
    "●": _DISC,
    "■": _SQUARE,
    "▲": _UP,
    "▼": _DOWN,
    "◆": _DIAMOND,
    "★": _STAR,
    "✚": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "✖": "M-4-2.6L-2.6-4L0-1.4L2.6-4L4-2.6L1.4 0L4 2.6L2.6 4L0 1.4L-2.6 4L-4 2.6L-1.4 0z",
}
_OUTLINED = {
    "○": (_DISC, ""),
    "◉": (_DISC, "M-1.9 0a1.9 1.9 0 1 0 3.8 0a1.9 1.9 0 1 0-3.8 0z"),
    "◎": (_DISC, "M-.8 0a.8.8 0 1 0 1.6 0a.8.8 0 1 0-1.6 0z"),
    "◐": (_DISC, "M0-4a4 4 0 0 0 0 8z"),
    "◑": (_DISC, "M0-4a4 4 0 0 1 0 8z"),
    "◒": (_DISC, "M-4 0a4 4 0 0 0 8 0z"),
    "◓": (_DISC, "M-4 0a4 4 0 0 1 8 0z"),
    "□": (_SQUARE, ""),
    "▣": (_SQUARE, "M-1.6-1.6h3.2v3.2h-3.2z"),
    "◧": (_SQUARE, "M-3.5-3.5h3.5v7h-3.5z"),
    "◨": (_SQUARE, "M0-3.5h3.5v7h-3.5z"),
    "◩": (_SQUARE, "M-3.5-3.5h7L-3.5 3.5z"),
    "◪": (_SQUARE, "M3.5-3.5v7h-7z"),
    "△": (_UP, ""),
    "◭": (_UP, "M0-4.6V3.4H-4.4z"),
    "◮": (_UP, "M0-4.6V3.4H4.4z"),
    "▽": (_DOWN, ""),
    "◇": (_DIAMOND, ""),
    "◈": (_DIAMOND, "M0-2.4L2.4 0L0 2.4L-2.4 0z"),
    "⬖": (_DIAMOND, "M0-5V5L-5 0z"),
    "⬗": (_DIAMOND, "M0-5V5L5 0z"),
    "☆": (_STAR, ""),
}
"""Outline, and what of it is filled."""
_APART = 14
"""Pixels between two markers of a curve, at least."""


def svg_document(figure: Figure, dark: bool = True) -> str:
    """A figure as a file of its own.

    Args:
        figure: with a chart.
        dark: with the colours of a dark ground for readers who prefer one.
    """
    keys = _keys(figure)
    style = f"<style>{palette_css(keys, dark)}</style>"
    return _svg(figure, figure.name, style, f'<rect class="ground" width="{WIDTH}" height="100%"/>') + "\n"


def svg_element(figure: Figure, identity: str) -> str:
    """A figure for a page that has `palette_css`; `identity` is unique in the page."""
    return _svg(figure, identity)


def palette_css(keys: Iterable[Key], dark: bool = True) -> str:
    """The rules that give figures their colours."""
    unique = sorted({(key.css, key.light, key.dark) for key in keys})
    sheets = [
        _rules(tones, ground, [(css, each[n]) for css, *each in unique])
        for n, (tones, ground) in enumerate(zip((LIGHT, DARK), _GROUNDS, strict=True))
    ]
    return sheets[0] + (f"@media (prefers-color-scheme:dark){{{sheets[1]}}}" if dark else "")


def marker(key: Key) -> str:
    """A small picture of a label's marker, for a table's cell."""
    return (
        f'<svg class="marker {key.css}" viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true">'
        f"{_marker(key, 0, 0)}</svg>"
    )


def _rules(tones: Tones, ground: str, keys: list[tuple[str, str]]) -> str:
    named = [("txt", tones.text), ("mut", tones.muted), ("fnt", tones.faint), *keys]
    rules = "".join(f".{name}{{color:{colour}}}" for name, colour in named)
    return f".ground,.hole{{fill:{ground}}}{rules}"


def _keys(figure: Figure) -> list[Key]:
    if isinstance(figure.chart, Bars):
        return [bar.key for bar in figure.chart.bars if bar.key]
    return legend(figure.chart) if figure.chart else []


def _svg(figure: Figure, identity: str, style: str = "", ground: str = "") -> str:
    assert figure.chart is not None
    drawn, height = _bars(figure.chart) if isinstance(figure.chart, Bars) else _chart(figure.chart)
    title, described = _text(figure.title), _text(f"{figure.caption} {described_in_words(figure)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-labelledby="{identity}-title {identity}-desc"'
        f' font-family="{FONT}" font-size="13">'
        f'<title id="{identity}-title">{title}</title><desc id="{identity}-desc">{described}</desc>'
        f"{style}{ground}{drawn}</svg>"
    )


def described_in_words(figure: Figure) -> str:
    """The numbers of a figure, for those who cannot see it."""
    chart = figure.chart
    if isinstance(chart, Bars):
        return " ".join(f"{bar.name}: {bar.text}." for bar in chart.bars if bar.ends)
    if chart is None:
        return ""
    ends = [(curve.key.label, *curve.points[-1]) for curve in chart.curves if curve.points]
    dots = [(dot.key.label, dot.x, dot.y) for dot in chart.dots]
    return " ".join(f"{label}: {y:.4g} at {x:.4g}." for label, x, y in (*ends, *dots))


def _chart(chart: Chart) -> tuple[str, int]:
    names, rows = _legend(legend(chart), lines=bool(chart.curves))
    top = _TOP + rows * _LINE
    frame = _Frame(_LEFT, top, WIDTH - _RIGHT, top + _HEIGHT)
    parts = [names, *frame.grid(chart.x, chart.y)]
    if chart.line is not None:
        parts.append(_line(frame, chart))
    parts += [_band(frame, chart, curve) for curve in chart.curves if curve.band]
    parts += [_curve(frame, chart, curve) for curve in chart.curves if curve.points]
    parts += [_dot(frame, chart, dot) for dot in chart.dots]
    return "".join(parts), top + _HEIGHT + _BOTTOM


class _Frame:
    """The rectangle between the axes."""

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        self.left, self.top, self.right, self.bottom = left, top, right, bottom

    def x(self, share: float) -> float:
        return self.left + share * (self.right - self.left)

    def y(self, share: float) -> float:
        return self.bottom - share * (self.bottom - self.top)

    def grid(self, x: Axis, y: Axis | None) -> Iterator[str]:
        lines = [] if y is None else [f"M{self.left} {_n(self.y(at))}H{self.right}" for at, _ in y.ticks]
        if y is None:
            lines = [f"M{_n(self.x(at))} {self.top}V{self.bottom}" for at, _ in x.ticks]
        yield f'<path class="fnt" stroke="currentColor" stroke-width=".7" fill="none" d="{"".join(lines)}"/>'
        if y is not None:
            yield f'<path class="mut" stroke="currentColor" d="M{self.left} {self.bottom}H{self.right}"/>'
        for at, label in x.ticks:
            yield _words(label, self.x(at), self.bottom + 18, "middle", "mut")
        for at, label in y.ticks if y else ():
            yield _words(label, self.left - 7, self.y(at) + 4, "end", "mut")
        yield _words(x.title, (self.left + self.right) / 2, self.bottom + 39, "middle", "txt")
        if y is not None:
            middle = _n((self.top + self.bottom) / 2)
            yield f'<g transform="translate(13 {middle}) rotate(-90)">{_words(y.title, 0, 0, "middle")}</g>'


def _legend(keys: list[Key], lines: bool) -> tuple[str, int]:
    """Markers, on samples of their `lines`, with their labels; and how many rows they take."""
    parts, x, row = [], float(_LEFT), 0
    for key in keys:
        name = safe_text(key.label, 24)
        width = 36 + len(name) * _CHARACTER + 14
        if x > _LEFT and x + width > WIDTH:
            x, row = float(_LEFT), row + 1
        y = _TOP + row * _LINE + 6
        sample = f'<path d="M{_n(x)} {y}h28"{_dash(key)} stroke="currentColor" stroke-width="1.8"/>'
        sample = sample if lines else ""
        parts.append(f'<g class="{key.css}">{sample}{_marker(key, x + 14, y)}</g>')
        parts.append(_words(name, x + 34, y + 4, "start"))
        x += width
    return "".join(parts), row + 1 if keys else 0


def _band(frame: _Frame, chart: Chart, curve: Curve) -> str:
    upper = [(x, high) for x, _, high in curve.band]
    lower = [(x, low) for x, low, _ in curve.band][::-1]
    path = _path(frame, chart, [*upper, *lower])
    return f'<path class="{curve.key.css}" fill="currentColor" fill-opacity=".16" d="{path}z"/>'


def _curve(frame: _Frame, chart: Chart, curve: Curve) -> str:
    places = [(frame.x(chart.x.share(x)), frame.y(chart.y.share(y))) for x, y in curve.points]
    signs = "".join(_marker(curve.key, *place) for place in _apart(places))
    path = _path(frame, chart, curve.points)
    line = f'<path d="{path}" fill="none"{_dash(curve.key)} stroke="currentColor" stroke-width="1.8"/>'
    return f'<g class="{curve.key.css}">{line}{signs}</g>'


def _apart(places: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The last place, and those before it that are not too near each other."""
    last = places[-1]
    yield last
    for place in places[-2::-1]:
        if dist(place, last) >= _APART:
            yield (last := place)


def _dot(frame: _Frame, chart: Chart, dot: Dot) -> str:
    x, y = frame.x(chart.x.share(dot.x)), frame.y(chart.y.share(dot.y))
    low, high = frame.y(chart.y.share(dot.low)), frame.y(chart.y.share(dot.high))
    bar = f'<path d="M{_n(x)} {_n(low)}V{_n(high)}" stroke="currentColor" stroke-width="1.4"/>'
    ring = (
        f'<circle cx="{_n(x)}" cy="{_n(y)}" r="10" fill="none" stroke="currentColor"/>' if dot.ringed else ""
    )
    sign = ring + _marker(dot.key, x, y, 1.35, dot.hollow)
    return f'<g class="{dot.key.css}">{bar if low != high else ""}{sign}</g>'


def _line(frame: _Frame, chart: Chart) -> str:
    assert chart.line is not None
    *ends, words = chart.line
    path = _path(frame, chart, ends)
    x, y = frame.x(chart.x.share(ends[1][0])), frame.y(chart.y.share(ends[1][1]))
    drawn = f'<path class="mut" d="{path}" stroke="currentColor" stroke-dasharray="4 4" fill="none"/>'
    return drawn + _words(words, x - 12, y + 4, "end", "mut")


def _bars(bars: Bars) -> tuple[str, int]:
    left = 12 + max(len(safe_text(bar.name, 40)) for bar in bars.bars) * _CHARACTER
    frame = _Frame(left, _TOP, WIDTH - 62, _TOP + len(bars.bars) * _BAR)
    parts = [*frame.grid(bars.x, None)]
    for row, bar in enumerate(bars.bars):
        parts.append(_bar(frame, bars.x, bar, _TOP + row * _BAR))
    return "".join(parts), int(frame.bottom) + _BOTTOM


def _bar(frame: _Frame, axis: Axis, bar: Bar, y: float) -> str:
    name = safe_text(bar.name, 40)
    if bar.ends is None:
        return _words(name, 4, y + 17, "start", weight="600")
    low, high = sorted(frame.x(axis.share(end)) for end in bar.ends)
    css, width = bar.key.css if bar.key else "mut", _n(max(1.0, high - low))
    fill = 'class="hole" stroke="currentColor"' if bar.hollow else 'fill="currentColor"'
    box = f'<rect x="{_n(low)}" y="{_n(y + 5)}" width="{width}" height="{_BAR - 9}" {fill}/>'
    texts = _words(name, frame.left - 8, y + 17, "end") + _words(bar.text, high + 6, y + 17, "start")
    return f'<g class="{css}">{box}</g>{texts}'


def _marker(key: Key, x: float, y: float, size: float = 1.0, hollow: bool = False) -> str:
    outline, filled = _OUTLINED.get(key.marker) or ("", _SOLID[key.marker])
    if hollow:
        outline, filled = outline or filled, ""
    scale = f" scale({size})" if size != 1.0 else ""
    place = f'transform="translate({_n(x)} {_n(y)}){scale}"'
    looks = (
        (outline, 'class="hole" stroke="currentColor" stroke-width="1.6"'),
        (filled, 'fill="currentColor"'),
    )
    return "".join(f'<path {look} {place} d="{path}"/>' for path, look in looks if path)


def _path(frame: _Frame, chart: Chart, points: Iterable[tuple[float, float]]) -> str:
    pairs = (f"{_n(frame.x(chart.x.share(x)))} {_n(frame.y(chart.y.share(y)))}" for x, y in points)
    return "M" + "L".join(pairs)


def _words(text: str, x: float, y: float, anchor: str, css: str = "txt", weight: str = "") -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    place = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{bold}'
    return f'<text class="{css}" fill="currentColor" {place}>{_text(text)}</text>'


def _dash(key: Key) -> str:
    return f' stroke-dasharray="{key.dash}"' if key.dash else ""


def _text(value: str) -> str:
    return escape(safe_text(value, 600))


def _n(value: float) -> str:
    """A coordinate with one decimal, none where it is whole."""
    return f"{value:.1f}".removesuffix(".0")
