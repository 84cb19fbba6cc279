"""What the benchmarks share: samples, claims, turns, and the file that is left."""

import json
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from benchmarks import harness
from benchmarks.harness import Bench, Claim, Sample, bench, interleave


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results go, instead of the checkout."""
    folder = tmp_path / "results"
    monkeypatch.setattr(harness, "RESULTS", folder)
    return folder


def test_a_sample_has_median_and_range() -> None:
    sample = Sample((4.0, 1.0, 3.0, 10.0))
    assert (sample.median, sample.low, sample.high) == (3.5, 1.0, 10.0)
    assert str(sample) == "3.5 (1 to 10)"
    assert str(Sample((1234.0,))) == "1,234"


def test_a_ratio_is_taken_within_each_round() -> None:
    assert Sample((1.0, 30.0)).over(Sample((2.0, 10.0))).values == (0.5, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        Sample((1.0, 2.0)).over(Sample((1.0,)))


@pytest.mark.parametrize(
    ("kind", "value", "met"),
    [
        ("at least", 1.9, False),
        ("at least", 2.0, True),
        ("at least", 2.1, True),
        ("at most", 1.9, True),
        ("at most", 2.0, True),
        ("at most", 2.1, False),
    ],
)
def test_a_claim_is_met_up_to_its_bound(
    kind: Literal["at least", "at most"], value: float, met: bool
) -> None:
    assert Claim("", value, 2.0, kind).met is met


def test_sides_take_turns_and_the_order_turns_round() -> None:
    called: list[str] = []
    sides = {name: lambda name=name: called.append(name) for name in "ab"}
    measured = interleave(sides, rounds=3, warm_ups=2)
    assert "".join(called) == "ab" + "ba" + "ab" + "ba" + "ab"
    assert {name: len(sample.values) for name, sample in measured.items()} == {"a": 3, "b": 3}


def test_a_side_may_report_its_own_seconds() -> None:
    own = iter([99, 1, 2.5])
    measured = interleave({"own": lambda: next(own), "wall": lambda: time.sleep(0.01)}, rounds=2)
    assert measured["own"].values == (1.0, 2.5)
    assert measured["wall"].low >= 0.01


@pytest.mark.parametrize(("value", "code"), [(1.0, 0), (3.0, 6)])
def test_the_file_holds_what_was_printed(
    value: float, code: int, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Bench("thing", "A thing")
    made.row(side="one", per_second=Sample((1.0, 2.0, 3.0)))
    made.claim(Claim("first [always] met", 0.0, 1.0, "at most"))
    made.claim(Claim("takes", value, 2.0, "at most", " s", "of two"))
    made.facts["size"] = 7
    made.samples["one, s"] = (1.0, 2.0, 3.0)
    assert made.finish() == code
    printed = capsys.readouterr().out
    assert "first [always] met" in printed
    assert ("NOT MET" in printed) == bool(code)
    document = json.loads((results / "thing.json").read_text())
    assert [claim["met"] for claim in document["claims"]] == [True, not code]
    assert document["claims"][1] | {"met": None} == {
        "text": "takes",
        "value": value,
        "bound": 2.0,
        "kind": "at most",
        "unit": " s",
        "note": "of two",
        "met": None,
    }
    assert document["rows"] == [{"side": "one", "per second": "2 (1 to 3)"}]
    assert (document["facts"], document["samples"]) == ({"size": 7}, {"one, s": [1.0, 2.0, 3.0]})
    assert (document["name"], document["device"], document["schema_version"]) == ("thing", "cpu", 1)
    assert document["machine"]["cores"] >= 1
    assert document["command"] == "python -m benchmarks.thing"


def test_a_script_with_an_option_names_its_command(results: Path) -> None:
    Bench("thing_cuda", "", command="python -m benchmarks.thing --device cuda").finish()
    document = json.loads((results / "thing_cuda.json").read_text())
    assert document["command"] == "python -m benchmarks.thing --device cuda"


def test_a_number_that_is_none_is_not_written(results: Path) -> None:
    made = Bench("thing", "A thing")
    made.claim(Claim("is a number", float("nan"), 1.0, "at most"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        made.finish()
    assert not list(results.iterdir())


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert harness.commit() == "unknown"


def test_a_smoke_run_writes_nothing_and_fails_nothing(results: Path) -> None:
    made = Bench("thing", "A thing", smoke=True)
    made.claim(Claim("takes", 3.0, 2.0, "at most"))
    assert made.finish() == 0
    assert not results.exists()


def test_options_have_the_type_of_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["thing", "--smoke", "--max-rounds", "9"])
    made, given = bench("thing", "A thing", max_rounds=3, share=0.5)
    assert (made.smoke, given.max_rounds, given.share) == (True, 9, 0.5)
