"""Sections in processes of their own: what one does to itself, the others do not notice."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_sections
from benchmarks.gpu_lab import Lab
from benchmarks.gpu_prepared import Store
from benchmarks.gpu_sections import Processes, Section, look, run_sections
from benchmarks.gpu_sizes import SMOKE
from benchmarks.harness import Bench


def says(lab: Lab) -> None:
    lab.row("said", os.getpid())


def raises(lab: Lab) -> None:
    lab.row("before", 1)
    raise RuntimeError("the kernel is wrong")


def hangs(lab: Lab) -> None:
    lab.row("pid", os.getpid())
    if not os.fork():
        lab.row("grandchild", os.getpid())
    time.sleep(30)


def dies(lab: Lab) -> None:
    lab.row("before dying", 1)
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(lab: Lab) -> None:
    """Ends its process in a way that no handler of an exception sees."""
    del lab
    os._exit(1)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    result = Bench("measure", "", smoke=True, folder=tmp_path)
    result.place = {"machine": {}, "commit": "abc"}
    return Lab(result, torch.device("cuda:0"), SMOKE, False, Store(True))


def run(lab: Lab, *works: object, how: str = "fork", limit_s: float = 30.0) -> list[dict[str, str]]:
    sections = [Section(work.__name__, work, 0, limit_s) for work in works]  # type: ignore[attr-defined, arg-type]
    run_sections(lab, sections, Processes(how), time.monotonic() + 120)
    document = json.loads(lab.result.path.read_text())
    assert document["rows"] == lab.result.rows
    return document["rows"]


def test_each_section_has_a_process_of_its_own_and_the_facts_of_all_are_kept(lab: Lab) -> None:
    rows = run(lab, says, says)
    assert [row["what"] for row in rows] == ["said", "said"]
    assert len({row["measured"] for row in rows} | {str(os.getpid())}) == 3


def test_a_section_that_raises_stops_no_other(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    rows = run(lab, raises, says)
    assert [row["what"] for row in rows] == ["before", "the rest", "said"]
    assert rows[1]["note"] == "left out: RuntimeError: the kernel is wrong"
    assert lab.result.facts["failed"] == ["raises"]
    assert "the kernel is wrong" in capfd.readouterr().err


def test_a_section_that_hangs_is_killed_with_what_it_has_started(lab: Lab) -> None:
    rows = run(lab, hangs, says, limit_s=2.0)
    assert [row["what"] for row in rows][-2:] == ["the rest", "said"]
    assert rows[-2]["note"] == "left out: it did not end within 2 s"
    for row in rows[:-2]:
        state = Path(f"/proc/{row['measured']}/stat")
        assert not state.exists() or state.read_text().rpartition(") ")[2][0] == "Z"
    assert lab.result.facts["failed"] == ["hangs"]


@pytest.mark.parametrize(("work", "code"), [(dies, -signal.SIGKILL), (leaves, 1)])
def test_a_section_whose_process_ends_stops_no_other(lab: Lab, work: object, code: int) -> None:
    rows = run(lab, work, says)
    assert rows[-2]["note"] == f"left out: its process ended with {int(code)}"
    assert rows[-1]["what"] == "said"


def test_a_section_without_the_time_that_it_needs_does_not_begin(lab: Lab) -> None:
    lab.result.write()
    run_sections(lab, [Section("late", raises, 60, 60)], Processes("fork"), time.monotonic() + 5)
    assert "it needs 60" in lab.result.rows[-1]["note"]
    assert "failed" not in lab.result.facts


@pytest.mark.slow
def test_processes_need_not_be_forked(lab: Lab) -> None:
    assert [row["what"] for row in run(lab, says, how="spawn")] == ["said"]


def test_a_look_finds_no_device_where_there_is_none(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_sections, "_WAYS", ("fork",))
    assert look(lab.result, "cuda:0") is None
    processes = look(lab.result, "cpu")
    assert processes is not None
    assert (processes.how, lab.result.facts["precision"]) == ("fork", "fp32")


def test_a_new_process_is_tried_where_a_fork_sees_no_device(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def run_look(processes: Processes, _limit_s: float, _work: object, result: Bench, _device: str) -> int:
        tried.append(processes.how)
        if processes.how == "fork":
            return 1
        result.device = "gpu: X"
        result.write()
        return 0

    monkeypatch.setattr(Processes, "run", run_look)
    processes = look(lab.result, "cuda:0")
    assert tried == ["fork", "spawn"]
    assert processes is not None
    assert processes.how == "spawn"
