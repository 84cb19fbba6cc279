"""Reports as LaTeX tables, to be read with `\\input`; they need booktabs, and pdfTeX, XeTeX or LuaTeX."""

import unicodedata
from collections.abc import Sequence

from grambench.reports.render.labels import LabelTrials, by_label
from grambench.reports.render.options import Options
from grambench.reports.render.tables import (
    INTERVALS,
    PEAKS,
    SPEEDUPS,
    Column,
    co2e_note,
    quality_columns,
    resource_columns,
    rows_of,
    significance,
    speed_columns,
)
from grambench.reports.schema import Report
from grambench.text import safe_text

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "…": r"\dots{}",
}
_LETTERS = range(0xC0, 0x180)
"""Accented Latin letters, which every engine reads."""
_PREAMBLE = "% Tables of grambench. In the preamble: \\usepackage[T1]{fontenc} \\usepackage{booktabs}\n"


def render_latex(reports: Sequence[Report], options: Options) -> str:
    """Three tables a report: test scores with significance marks, speed, and memory and energy."""
    return _PREAMBLE + "".join(_tables(report, number, options) for number, report in enumerate(reports, 1))


def escaped(value: object) -> str:
    """Untrusted text for LaTeX: special characters escaped, others beyond Latin as `U+4E2D`."""
    return "".join(map(_character, safe_text(unicodedata.normalize("NFC", str(value)), 600)))


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii() or ord(character) in _LETTERS:
        return character
    return f"U+{ord(character):04X}"


def _tables(report: Report, number: int, options: Options) -> str:
    labels = by_label(report)
    if not labels:
        return f"% {escaped(report.run.name)}: no trial was recorded.\n"
    what = f"{report.run.data_label or report.run.preset}, {report.run.model_label}".removesuffix(", ")
    seeds = max(each.seeds for each in labels)
    run = f"{what}; {seeds} seed{'s' * (seeds != 1)}."
    parts = (
        ("quality", quality_columns(report), ("Test scores.", run, INTERVALS, significance(report))),
        ("speed", speed_columns(), ("Speed.", run, INTERVALS, SPEEDUPS)),
        (
            "resources",
            resource_columns(report, options),
            ("Memory and energy.", run, PEAKS, co2e_note(labels, options)),
        ),
    )
    return "".join(
        _table(labels, columns, " ".join(filter(None, notes)), f"{name}-{number}")
        for name, columns, notes in parts
    )


def _table(labels: Sequence[LabelTrials], columns: Sequence[Column], caption: str, name: str) -> str:
    rows = [["strategy", *(column.title for column in columns)]]
    rows += [[each.label, *cells] for each, cells in zip(labels, rows_of(labels, columns), strict=True)]
    head, *body = (" & ".join(map(escaped, row)) + r" \\" for row in rows)
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{tab:grambench-{name}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n\n"
