"""Every format against its golden file; after an intended change `pytest --snapshot-update` writes them."""

import base64
import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_logs as logs
from report_logs import Run
from rich_report import PLANS, SEEDS, rich_report
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from grambench.events import types as ev
from grambench.reports.adaptation_schema import Adaptation, Work
from grambench.reports.build import build_report, report_json
from grambench.reports.read import read_report
from grambench.reports.render.figures.figures import FIGURES
from grambench.reports.render.html import render_html
from grambench.reports.render.latex import escaped, render_latex
from grambench.reports.render.long_csv import COLUMNS, render_csv
from grambench.reports.render.markdown import render_reports
from grambench.reports.render.options import Options
from grambench.reports.render.pictures import render_png, render_svg
from grambench.reports.render.plain_json import render_json
from grambench.reports.schema import Report
from grambench.reports.section import build_section
from grambench.reports.training_schema import Clipping

KEPT = Path(__file__).parents[2] / "kept_runs"
NONE, CO2 = Options(), Options(co2_per_kwh=380.0)
HOSTILE = """</script><script>alert("1")</script> 'x' <b>&amp; \\end{table} 50% a_b #1 ~^{$|"""


class Text(SingleFileSnapshotExtension):
    """One readable file."""

    _write_mode = WriteMode.TEXT


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return rich_report(tmp_path_factory.mktemp("runs") / "night-1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("whole")
    logs.write_whole(folder)
    return build_report(folder)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Every text of a report that nothing restricts."""
    folder = tmp_path_factory.mktemp("hostile")
    run = Run(folder, preset=HOSTILE, run="=cmd()", command=[HOSTILE])
    run.log("", 0, ev.RunStarted("r", HOSTILE, ["e2e.s0", "gram-1e.s0"], 1, HOSTILE, HOSTILE))
    logs.write_setup(run)
    end_s = logs.write_trial(run, "e2e.s0", 4, 10.0, (0.6, 0.7))
    logs.write_trial(run, "gram-1e.s0", end_s, 1.0, (0.6, 0.7))
    run.log("e2e.s0", 99, ev.Warned(HOSTILE, HOSTILE))
    fields = json.loads(report_json(build_report(folder)))
    fields["trials"][1]["label"] = HOSTILE
    return Report.model_validate_json(json.dumps(fields))


class Page(HTMLParser):
    """The tags of a page, its headings, its JSON, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.headings: list[int] = []
        self.loads: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.download = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags[tag] += 1
        self.loads += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "action")]
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        if tag == "script":
            self.scripts.append((found, ""))
        if "download" in found:
            self.download = found["href"] or ""

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts and not self.scripts[-1][1]:
            self.scripts[-1] = (self.scripts[-1][0], data)


def without_report(page: str) -> str:
    """The page without the two copies of report.json, which would be most of a golden file."""
    page = re.sub(r'href="data:[^"]*"', 'href="…"', page)
    return re.sub(r'(<script type="application/json"[^>]*>).*?(</script>)', r"\1…\2", page)


def golden(snapshot: SnapshotAssertion, file: str, text: str) -> None:
    name, _, suffix = file.partition(".")
    extension = type("Golden", (Text,), {"file_extension": suffix})
    assert text == snapshot(name=name, extension_class=extension)


def test_html(rich: Report, snapshot: SnapshotAssertion) -> None:
    golden(snapshot, "page.html", without_report(render_html([rich], CO2)))


def test_latex(rich: Report, snapshot: SnapshotAssertion) -> None:
    golden(snapshot, "tables.tex", render_latex([rich], CO2))


def test_csv(whole: Report, snapshot: SnapshotAssertion) -> None:
    golden(snapshot, "numbers.csv", render_csv([whole], CO2))


def test_markdown_of_several_runs(rich: Report, whole: Report, snapshot: SnapshotAssertion) -> None:
    golden(snapshot, "runs.md", render_reports([rich, whole], CO2))


@pytest.mark.parametrize("name", FIGURES)
def test_svg(name: str, rich: Report, snapshot: SnapshotAssertion) -> None:
    ((file, content),) = render_svg([rich], Options(figure=name)).items()
    assert file == f"{name}.svg"
    assert isinstance(content, bytes)
    golden(snapshot, file, content.decode())


def test_json_of_one_run_is_report_json_and_of_several_an_array(rich: Report, whole: Report) -> None:
    assert render_json([rich], NONE) == report_json(rich)
    several = json.loads(render_json([rich, whole], NONE))
    assert several == [json.loads(report_json(rich)), json.loads(report_json(whole))]


def test_the_page_holds_the_whole_report_twice(rich: Report, whole: Report) -> None:
    page = Page(render_html([rich, whole], NONE))
    embedded = [json.loads(text) for _, text in page.scripts]
    assert embedded == [json.loads(report_json(rich)), json.loads(report_json(whole))]
    data = page.download.removeprefix("data:application/json;base64,")
    assert json.loads(base64.b64decode(data)) == embedded[-1]


@pytest.mark.parametrize("count", [1, 2])
def test_the_page_loads_nothing_and_its_headings_are_in_order(count: int, rich: Report) -> None:
    text = render_html([rich] * count, NONE)
    page = Page(text)
    assert page.loads == []
    assert {attrs["type"] for attrs, _ in page.scripts} == {"application/json"}
    assert not re.search(r"url\(|@import|<link|https?://(?!www\.w3\.org/2000/svg)", without_report(text))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    identities = re.findall(r' id="([^"]+)"', text)
    assert len(identities) == len(set(identities))


def test_hostile_texts_are_only_texts(hostile: Report) -> None:
    page = Page(render_html([hostile], NONE))
    assert page.tags["script"] == len(page.scripts) == 1
    assert page.tags["b"] == 0
    assert json.loads(page.scripts[0][1])["run"]["preset"] == HOSTILE
    for content in render_svg([hostile], NONE).values():
        if isinstance(content, bytes):
            assert "script" not in {
                each.tag.rpartition("}")[2] for each in ElementTree.fromstring(content).iter()
            }
    rows = list(csv.reader(io.StringIO(render_csv([hostile], NONE))))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert rows[1][0] == "'=cmd()"


def test_latex_escapes_every_special_character(hostile: Report) -> None:
    made = render_latex([hostile], NONE)
    plain = re.sub(r"\\(?:[&%$#_{}]|[a-zA-Z]+|\\)|\$\\?[a-z-]+\$", "", made.replace("$-$", ""))
    lines = [line for line in plain.splitlines() if not line.startswith("%")]
    assert not re.search(r"[#%$^~_<>|\"\\]", "\n".join(lines))
    assert plain.count("{") == plain.count("}")
    assert escaped("50% ± 1 × 中 é") == r"50\% $\pm$ 1 $\times$ U+4E2D é"


def test_marks_need_a_p_below_their_level_and_a_test_that_holds_at_one_look(rich: Report) -> None:
    made = render_latex([rich], NONE)
    assert re.search(r"^gram-1e & 0\.6449 .*?\* &", made, re.MULTILINE)
    assert re.search(r"^e2e & 0\.6499 \$\\pm\$ 0\.0007 &", made, re.MULTILINE)
    assert "sign-flip test of the seeds' differences from e2e" in made
    fields = json.loads(report_json(rich))
    del fields["reasons"]["until_decided"]
    fields["until_decided"] = {"reasons": {}, "most_seeds": 8, "decided_at_seeds": 6, "looks": []}
    looked = render_latex([Report.model_validate_json(json.dumps(fields))], NONE)
    assert "sign-flip" not in looked
    assert "* &" not in looked


def test_csv_has_every_part_and_a_reason_where_a_number_is_missing(rich: Report, whole: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv([rich, whole], CO2))))
    found = Counter((row["run"], row["trial"], row["part"], row["metric"]) for row in rows)
    assert found["night-1", "gram-1e.s0", "test", "auc"] == 1
    assert found["night-1", "gram-1e.s0", "validation", "auc"] == 4
    assert found["night-1", "gram-1e.s0", "curve", "drift"] == 4
    assert len({row["trial"] for row in rows if row["run"] == "night-1"}) == len(PLANS) * len(SEEDS)
    assert all(bool(row["value"]) != bool(row["reason"]) for row in rows)


def test_csv_has_what_of_the_encoder_is_trained_and_clipped(whole: Report) -> None:
    work = build_section(Work, None, otherwise="not known", cached_layers=1.25)
    own = {
        "adaptation": build_section(
            Adaptation, None, otherwise="not known", adapt="freeze", cache_s=1.5, work=work
        ),
        "clipping": {"encoder": Clipping(reasons={}, share=0.5, mean_norm=2.0)},
    }
    report = whole.model_copy(update={"trials": [whole.trials[0].model_copy(update=own)]})
    rows = list(csv.DictReader(io.StringIO(render_csv([report], NONE))))
    values = {(row["part"], row["metric"]): row["value"] for row in rows}
    assert values["adaptation", "cache_s"] == "1.5"
    assert values["encoder's work", "cached_layers"] == "1.25"
    assert values["clipping of the encoder", "share"] == "0.5"
    assert all(row["reason"] for row in rows if not row["value"])


@pytest.mark.parametrize(("joules", "kilograms"), [(3.6e6, 0.38), (None, None)])
def test_co2e_is_the_users_factor_times_measured_energy(
    whole: Report, joules: float | None, kilograms: float | None
) -> None:
    fields: dict[str, Any] = json.loads(report_json(whole))
    for trial in fields["trials"]:
        trial["energy"] = (
            {"reasons": {}, "joules": joules, "source": "counter"} if joules else trial["energy"]
        )
    report = Report.model_validate_json(json.dumps(fields))
    rows = list(csv.DictReader(io.StringIO(render_csv([report], CO2))))
    values = [float(row["value"]) if row["value"] else None for row in rows if row["metric"] == "co2e"]
    assert values == [kilograms] * 2
    words = "0.760 kg for 2 trials" if joules else "CO2e is not known: the trial ran on cpu"
    for make in (render_html, render_latex, render_reports):
        assert words in make([report], CO2)
        assert "CO2e" not in make([report], NONE)


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/*/report.json")), ids=lambda path: path.parts[-3])
@pytest.mark.parametrize("make", [render_html, render_latex, render_csv, render_reports, render_svg])
def test_reports_of_earlier_versions_render(make: Any, path: Path) -> None:
    made = make([read_report(path)], CO2)
    assert "e2e" in made if isinstance(made, str) else "score-over-seconds.svg" in made


def test_png_is_the_drawing_at_three_times_its_size(rich: Report) -> None:
    pytest.importorskip("resvg_py")
    ((name, content),) = render_png([rich], Options(figure="memory")).items()
    assert name == "memory.png"
    assert isinstance(content, bytes)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20]) == 3 * 440
