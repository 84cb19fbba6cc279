import re
from pathlib import Path
from typing import Any

import pytest
import report_logs as logs
from hypothesis import given
from hypothesis import strategies as st
from report_logs import Run

from grambench.events import types as ev
from grambench.reports.build import build_report
from grambench.reports.render.markdown import cell, number, render_markdown

GPU = {"name": "NVIDIA H200", "uuid": "GPU-a", "memory_total_bytes": 1, "reasons": {}}


def rows_of(page: str) -> list[list[str]]:
    """Cells of the table's rows, split where a pipe is not escaped."""
    lines = [line for line in page.split("\n") if line.startswith("| ")]
    return [[part.strip() for part in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]] for line in lines]


def test_a_whole_run_reads_as_a_summary(tmp_path: Path) -> None:
    logs.write_whole(tmp_path, host=logs.HOST | {"gpus": [GPU], "driver": "580.12"})
    page = render_markdown(build_report(tmp_path))
    assert page.startswith("# grambench: demo\n")
    assert "NVIDIA H200 · driver 580.12 · Python 3.11.7" in page
    assert "16 GiB" in page
    assert "commit 0123456789ab (modified)" in page
    assert "gram-1s and e2e are **equivalent**" in page
    head, _, e2e, gram = rows_of(page.partition("## Strategies")[2].partition("## Self-grade")[0])
    assert dict(zip(head, gram, strict=True)) == {
        "strategy": "gram-1s",
        "seed": "0",
        "outcome": "completed",
        "AUC": "0.6600",
        "MRR": "0.3000",
        "nDCG@5": "0.3500",
        "nDCG@10": "0.4000",
        "speed-up": "2.50×",
        "R": "2.00",
        "s/epoch": "4.0",
        "s to best": "4.0",
        "s to target": "–",
        "peak MiB": "0 (process)",
    }
    assert e2e[7] == "1.00×"
    assert "the best validation AUC of e2e less the margin" in page
    assert "None." in page
    assert "PARTIAL" not in page
    assert "## Missing" not in page
    assert page.endswith("\n")
    assert "\n\n\n" not in page


def test_a_partial_run_has_dashes_and_says_what_is_missing(tmp_path: Path) -> None:
    run = Run(tmp_path, host={})
    run.log("", 0, logs.run_started("e2e.s0", "e2e.s1"), ev.Warned("low-disk", "2 GB are left"))
    page = render_markdown(build_report(tmp_path))
    assert "PARTIAL" in page
    assert "- Audit: – (the audit did not finish)" in page
    assert "- Environment: unknown (run.json, host." in page
    assert rows_of(page)[2] == ["e2e", "0", *["–"] * 11]
    assert "- low-disk: 2 GB are left" in page
    assert "- e2e.s1 has not begun." in page
    assert "## Seeds" in page


def test_a_run_without_logs_has_no_table(tmp_path: Path) -> None:
    Run(tmp_path)
    page = render_markdown(build_report(tmp_path))
    assert "No trial was recorded." in page
    assert not rows_of(page)


def test_several_seeds_have_their_own_table(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0", "e2e.s1"))
    end_s = logs.write_trial(run, "e2e.s0", 4, 10.0, (0.6, 0.7), 0.61)
    logs.write_trial(run, "e2e.s1", end_s, 5.0, (0.6, 0.7), 0.63)
    page = render_markdown(build_report(tmp_path))
    assert "| e2e | 2 | 0.6200 ± 0.0141 | 6.0 ± 2.8 |" in page


def test_the_peak_of_a_gpu_is_torchs(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log("", 0, logs.run_started("e2e.s0"))
    peak: dict[str, Any] = {"peak_allocated_bytes": 2000 << 20}
    run.log("e2e.s0", 1, logs.worker_started("e2e.s0", "GPU-a"), logs.progress(1, 1.0, **peak))
    assert rows_of(render_markdown(build_report(tmp_path)))[2][-1] == "2,000 (torch)"


def test_hostile_names_stay_in_their_line_and_cell(tmp_path: Path) -> None:
    run = Run(tmp_path, preset="a|b\n# c\x1b[31m", command=["x`y`", "<script>", "[l](http://e)"])
    run.log("", 0, logs.run_started("e2e.s0"))
    run.log("e2e.s0", 1, ev.Warned("c|d", "one\ntwo | three \u202e"))
    page = render_markdown(build_report(tmp_path))
    assert page.split("\n")[0] == "# grambench: a\\|b # c\N{REPLACEMENT CHARACTER}\\[31m"
    assert "x\\`y\\` &lt;script&gt; \\[l\\](http://e)" in page
    assert "- e2e.s0, c\\|d: one two \\| three\n" in page
    assert len({len(row) for row in rows_of(page)}) == 1


@given(st.text())
def test_a_cell_never_breaks_the_table(text: str) -> None:
    made = cell(text)
    assert "\n" not in made
    assert "<" not in made
    assert len(re.split(r"(?<!\\)(?:\\\\)*\|", made)) == 1


@pytest.mark.parametrize(
    ("value", "digits", "shown"), [(None, 2, "–"), (1234.567, 1, "1,234.6"), (0.0, 0, "0")]
)
def test_numbers_are_rounded_and_thousands_separated(value: float | None, digits: int, shown: str) -> None:
    assert number(value, digits) == shown
