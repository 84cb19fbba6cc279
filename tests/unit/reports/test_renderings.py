"""The recipe "Add a report rendering" of docs/extending.md."""

from pathlib import Path

import pytest
import report_logs as logs
from typer.testing import CliRunner

from grambench.cli.app import app
from grambench.errors import ConfigError
from grambench.reports.build import build_report
from grambench.reports.render import renderings
from grambench.reports.render.renderings import RENDERINGS, Rendering
from grambench.reports.schema import Report


def render_lines(report: Report) -> str:
    return "\n".join(f"{trial.strategy} {trial.outcome}" for trial in report.trials)


def test_a_row_is_all_that_a_rendering_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    logs.write_whole(folder)
    row = Rendering("lines", f"{__name__}:render_lines")
    monkeypatch.setattr(renderings, "RENDERINGS", (*RENDERINGS, row))
    done = CliRunner().invoke(app, ["report", "run", "--format", "lines", "--out", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "e2e completed\ngram-1s completed\n")
    assert (folder / "report.json").exists()


@pytest.mark.parametrize("row", RENDERINGS, ids=lambda row: row.name)
def test_every_row_renders_a_report(row: Rendering, tmp_path: Path) -> None:
    logs.write_whole(tmp_path)
    assert "gram-1s" in row.load()(build_report(tmp_path))


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"Unknown report format 'htlm'. Use json or markdown.") as refused:
        renderings.rendering("htlm")
    assert refused.value.exit_code == 2
