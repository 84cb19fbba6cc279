"""The recipe "Add a report rendering" of docs/extending.md, and `grambench report`, which offers them."""

import json
import os
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import pytest
import report_logs as logs
from click.testing import Result
from typer.testing import CliRunner

from grambench.cli.app import app
from grambench.errors import ConfigError, MachineError
from grambench.reports.build import build_report, report_json
from grambench.reports.render import renderings
from grambench.reports.render.options import Options
from grambench.reports.render.pictures import render_png
from grambench.reports.render.renderings import RENDERINGS, Rendering
from grambench.reports.schema import Report

TEXTS = [row for row in RENDERINGS if row.name not in ("svg", "png")]


def render_lines(reports: Sequence[Report], options: Options) -> str:
    return "\n".join(f"{trial.strategy} {trial.outcome}" for report in reports for trial in report.trials)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "run").mkdir()
    logs.write_whole(folder / "run")
    return folder


def asked(runs: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments, "--out", str(runs)])


def test_a_row_is_all_that_a_rendering_needs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Rendering("lines", f"{__name__}:render_lines", "txt")
    monkeypatch.setattr(renderings, "RENDERINGS", (*RENDERINGS, row))
    done = asked(runs, "run", "--format", "lines")
    assert (done.exit_code, done.stdout) == (0, "e2e completed\ngram-1s completed\n")
    assert (runs / "run" / "report.json").exists()


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.name)
def test_every_row_renders_a_report(row: Rendering, runs: Path) -> None:
    made = row.load()([build_report(runs / "run")], Options())
    assert "gram-1s" in made


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ConfigError, match=r"Unknown report format 'htlm'. Use json, .*svg or png."
    ) as refused:
        renderings.rendering("htlm")
    assert refused.value.exit_code == 2


def test_without_a_run_the_last_one_is_reported(runs: Path) -> None:
    assert asked(runs).stdout == report_json(build_report(runs / "run"))


def test_several_runs_and_files_are_reported_together(runs: Path) -> None:
    assert asked(runs, "run").exit_code == 0
    done = asked(runs, "run", str(runs / "run" / "report.json"))
    assert [each["run"]["name"] for each in json.loads(done.stdout)] == ["demo-1", "demo-1"]


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.name)
@pytest.mark.parametrize("is_folder", [True, False])
def test_output_is_a_file_or_goes_into_a_folder(
    row: Rendering, is_folder: bool, runs: Path, tmp_path: Path
) -> None:
    place = tmp_path if is_folder else tmp_path / "new" / "page"
    written = tmp_path / f"report.{row.suffix}" if is_folder else place
    done = asked(runs, "run", "--format", row.name, "--output", str(place))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"Written: {written}\n"
    assert "gram-1s" in written.read_text()


def test_figures_go_into_the_folder_of_their_run_and_those_not_drawn_say_why(runs: Path) -> None:
    done = asked(runs, "run", "--format", "svg")
    assert done.exit_code == 0
    assert (runs / "run" / "figures" / "memory.svg").read_text().startswith("<svg")
    assert "score-over-joules.svg: Not drawn: the trial ran on cpu" in done.stderr
    assert not (runs / "run" / "figures" / "score-over-joules.svg").exists()


def test_one_figure_goes_to_stdout_or_to_its_file(runs: Path, tmp_path: Path) -> None:
    done = asked(runs, "run", "--format", "svg", "--figure", "memory")
    assert done.stdout.startswith("<svg")
    asked(runs, "run", "--format", "svg", "--figure", "memory", "-o", str(tmp_path / "m.svg"))
    assert (tmp_path / "m.svg").read_text() == done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--open"], "--open shows the HTML page. Add --format html."),
        (["--co2-per-kwh", "380"], "The format json has no CO2e. Use one of markdown, html, csv, latex."),
        (
            ["--format", "svg", "--figure", "drift"],
            "No figure can be drawn. Drift of each window: Not drawn:",
        ),
        (["--format", "svg", "--figure", "x"], "There is no figure 'x'. Use one of score-over-seconds,"),
        (["run", "--format", "svg"], "need a folder. Give it with --output."),
        (["run", "--format", "html", "--open"], "needs a name. Give it with --output."),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    arguments: list[str], sentence: str, runs: Path
) -> None:
    refused = asked(runs, "run", *arguments).exception
    assert isinstance(refused, ConfigError)
    assert sentence in str(refused)


def test_a_place_that_cannot_be_written_is_named(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = asked(runs, "run", "--format", "csv", "-o", str(tmp_path / "file" / "x.csv")).exception
    assert isinstance(refused, MachineError)
    assert "x.csv cannot be written: " in str(refused)


def test_open_shows_the_page_that_it_has_written(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: shown.append(url) or True)
    monkeypatch.setitem(os.environ, "DISPLAY", ":0")
    assert asked(runs, "run", "--format", "html", "--open").exit_code == 0
    page = runs / "run" / "report.html"
    assert shown == [page.as_uri()]
    assert page.read_text().startswith("<!doctype html>")


def test_without_a_display_open_names_the_page(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    done = asked(runs, "run", "--format", "html", "--open")
    assert done.exit_code == 0
    assert f"No browser could be opened: open {runs / 'run' / 'report.html'} yourself." in done.stderr


def test_png_without_resvg_names_the_extra(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(MachineError, match=r"pip install 'grambench\[png\]'"):
        render_png([build_report(runs / "run")], Options())
