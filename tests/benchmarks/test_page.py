"""The page of results is made from the results."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import page
from benchmarks.targets import ENCODER, TARGETS

DOCUMENT: dict[str, Any] = {
    "name": "reuse",
    "title": "Single-step",
    "device": "cpu",
    "date": "2026-01-01",
    "seconds": 12.3,
    "machine": {"cpu": "A CPU", "cores": 2, "gpu": None, "torch": "2.13"},
    "commit": "abc",
    "facts": {"batch": 256},
    "rows": [{"strategy": "a|b", "seconds": "1"}, {"strategy": "c", "times": "2"}],
    "claims": [
        {
            "text": "fast",
            "value": 3.14159,
            "bound": 3.0,
            "kind": "at least",
            "unit": "×",
            "note": "a note",
            "met": True,
        },
        {"text": "slow", "value": 1.0, "bound": 0.5, "kind": "at most", "unit": "", "note": "", "met": False},
    ],
}


def test_page_holds_what_the_results_hold() -> None:
    text = page.PAGE.read_text()
    assert page.written(text, page.tables()) == text, "run `python -m benchmarks.page`"


def test_tables_say_machine_commit_verdict_and_device(tmp_path: Path) -> None:
    (tmp_path / "reuse.json").write_text(json.dumps(DOCUMENT))
    text = page.tables(tmp_path)
    assert "| fast | at least 3× | 3.14× | met | CPU | `reuse` |" in text
    assert "| slow | at most 0.5 | 1 | **not met** | CPU | `reuse` |" in text
    assert "A CPU, 2 cores, torch 2.13, commit abc, 2026-01-01, 12 s" in text
    assert "| a\\|b | 1 |  |" in text


def test_targets_stand_on_the_page_before_they_are_measured(tmp_path: Path) -> None:
    """With the same words and bounds as afterwards, each once."""
    row = "| the encoder's share of the rate of a large matrix product, real tokens | at least 0.4"
    (tmp_path / "reuse.json").write_text(json.dumps(DOCUMENT))
    text = page.tables(tmp_path)
    assert f"{row}, aim 0.5 | not yet measured |  | GPU | `measure` |" in text
    assert text.count("not yet measured") == len(TARGETS)
    claims = [{**asdict(ENCODER.claim(0.375, "packed")), "met": False}]
    document = {**DOCUMENT, "name": "measure", "device": "gpu: X", "claims": claims}
    (tmp_path / "measure.json").write_text(json.dumps(document))
    text = page.tables(tmp_path)
    assert f"{row} | 0.375 | **not met** | GPU | `measure` |" in text
    assert text.count("not yet measured") == len(TARGETS) - 1
    assert "aim 0.5; packed." in text


def test_the_first_run_on_a_gpu_keeps_its_numbers_beside_what_is_wrong_with_them(tmp_path: Path) -> None:
    document = {**DOCUMENT, "name": "gpu", "device": "gpu: X", "machine": {**DOCUMENT["machine"], "gpu": "X"}}
    (tmp_path / "gpu.json").write_text(json.dumps(document))
    text = page.tables(tmp_path)
    assert "| met | GPU | `gpu` |" in text
    assert page.REMARKS["gpu"] in text
    assert text.index(page.REMARKS["gpu"]) < text.index("| 1 |  |")


def test_a_section_names_the_command_that_measured_it(tmp_path: Path) -> None:
    """Results without one were measured by the script of their name."""
    commands = {"reuse": None, "toeic_cuda": "python -m benchmarks.toeic --device cuda"}
    for name, command in commands.items():
        document = {**DOCUMENT, "name": name, **({"command": command} if command else {})}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    text = page.tables(tmp_path)
    assert "`python -m benchmarks.reuse`, measured on" in text
    assert "`python -m benchmarks.toeic --device cuda`, measured on" in text
    assert text.index("--device cuda") < text.index("benchmarks.reuse")


def test_prose_around_the_tables_stays() -> None:
    before = f"head\n{page.BEGIN}\nold\n{page.END}\ntail\n"
    after = page.written(before, "new")
    assert after == f"head\n{page.BEGIN}\n\nnew\n\n{page.END}\ntail\n"
    assert page.written(after, "new") == after
