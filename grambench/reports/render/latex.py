"""Reports as LaTeX tables, to be read with `\\input`; they need booktabs, and pdfTeX, XeTeX or LuaTeX."""

import unicodedata
from collections.abc import Sequence

from grambench.reports.render.labels import LabelTrials, by_label
from grambench.reports.render.options import Options
from grambench.reports.render.tables import (
    INTERVALS,
    SPEEDUPS,
    Column,
    co2e_note,
    cost_columns,
    quality_columns,
    rows_of,
    significance,
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
    """Two tables a report: quality with significance marks, and cost."""
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
    notes = " ".join(filter(None, (run, INTERVALS, significance(report))))
    quality = _table(labels, quality_columns(report), f"Test scores. {notes}", f"quality-{number}")
    notes = " ".join(filter(None, (run, INTERVALS, SPEEDUPS, co2e_note(labels, options))))
    return quality + _table(labels, cost_columns(report, options), f"Cost. {notes}", f"cost-{number}")


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
