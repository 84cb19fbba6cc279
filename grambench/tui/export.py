"""The export of the dashboard: the report, and a picture of the screen."""

from datetime import UTC, datetime
from pathlib import Path

from grambench.fs import own_folder, write_atomic
from grambench.reports.build import write_report

FOLDER = "exports"


def export(run: Path, svg: str) -> Path:
    """Write report.json and the picture; returns the picture's path.

    Raises:
        OSError: they cannot be written. DataError: the run cannot be read.
    """
    folder = run / FOLDER
    own_folder(folder)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    path = folder / f"screen-{stamp}.svg"
    write_atomic(path, svg)
    write_report(run)
    return path
