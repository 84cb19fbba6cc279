"""The figures of reports as files: SVG, and PNG with the extra `png`."""

from collections.abc import Callable, Iterator, Sequence

from grambench.errors import ConfigError, MachineError
from grambench.reports.render.figures.chart import Figure
from grambench.reports.render.figures.figures import figures_of
from grambench.reports.render.figures.svg import svg_document
from grambench.reports.render.options import Options
from grambench.reports.schema import Report

Files = dict[str, bytes | str]
"""File name -> content, or the sentence that says why the figure is not drawn."""
_ZOOM = 3
"""Pixels of a PNG for each of its SVG's: 1,320 wide, sharp in print at 11 cm."""
_BLANK = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="16">{}</text></svg>'


def render_svg(reports: Sequence[Report], options: Options) -> Files:
    """One file a figure.

    Raises:
        ConfigError: none can be drawn; names the first reason.
    """
    return _files(reports, options, "svg", lambda figure: svg_document(figure).encode())


def render_png(reports: Sequence[Report], options: Options) -> Files:
    """The same on white, drawn by resvg.

    Raises:
        ConfigError: none can be drawn; names the first reason.
        MachineError: resvg or a font is missing.
    """
    return _files(reports, options, "png", _rasteriser())


def _files(
    reports: Sequence[Report], options: Options, suffix: str, draw: Callable[[Figure], bytes]
) -> Files:
    found = {f"{name}.{suffix}": figure for name, figure in _named(reports, options)}
    if not any(figure.chart for figure in found.values()):
        first = next(iter(found.values()))
        raise ConfigError(f"No figure can be drawn. {first.title}: {first.caption}")
    return {name: draw(figure) if figure.chart else figure.caption for name, figure in found.items()}


def _named(reports: Sequence[Report], options: Options) -> Iterator[tuple[str, Figure]]:
    """Every figure with its file's name, which begins with the run's where there are several."""
    for number, report in enumerate(reports, 1):
        begins = f"{number}-" if len(reports) > 1 else ""
        for figure in figures_of(report, options.figure):
            yield begins + figure.name, figure


def _rasteriser() -> Callable[[Figure], bytes]:
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise MachineError(
            "PNG needs resvg, which is not installed.", "Install it with `pip install 'grambench[png]'`."
        ) from error
    if svg_to_bytes(svg_string=_BLANK.format("A")) == svg_to_bytes(svg_string=_BLANK.format("")):
        raise MachineError(
            "There is no font on this machine, so that a PNG would have no words.",
            "Install one, for example fonts-dejavu-core, or use --format svg.",
        )

    def draw(figure: Figure) -> bytes:
        svg = svg_document(figure, dark=False)
        return bytes(svg_to_bytes(svg_string=svg, zoom=_ZOOM, background="#ffffff"))

    return draw
