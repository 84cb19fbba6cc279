"""Reports as JSON: one as `report.json` has it, several as an array."""

from collections.abc import Sequence

from grambench.reports.build import report_json
from grambench.reports.render.options import Options
from grambench.reports.schema import Report


def render_json(reports: Sequence[Report], options: Options) -> str:
    """One document."""
    texts = [report_json(report).rstrip() for report in reports]
    return f"{texts[0]}\n" if len(texts) == 1 else "[\n" + ",\n".join(texts) + "\n]\n"
