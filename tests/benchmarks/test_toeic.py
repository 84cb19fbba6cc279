"""The benchmark of TOEIC's shape: its tables, what it reports, and what its claims are computed from."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import toeic
from benchmarks.harness import Bench, Sample
from benchmarks.toeic_lab import BATCH, FULL, PROBES, SMOKE, Lab, Measured
from benchmarks.toeic_prediction import TOEIC, Costs, Size, predict
from benchmarks.toeic_tables import Tables, write_tables
from benchmarks.trials import prepared
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.domains.knowledge_tracing.formats.tables import read_tables

CPU = torch.device("cpu")
ENCODER, LARGER = str(SMOKE.encoder), str(SMOKE.larger[0])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The whole script at its smoke size."""
    result = Bench("toeic", "", smoke=True)
    lab = Lab(result, SMOKE, CPU, tmp_path_factory.mktemp("toeic") / "tables")
    write_tables(SMOKE.tables, lab.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        toeic.measure(lab, prepared(lab.spec(SMOKE.encoder)))
    return result


def test_the_tables_are_those_of_their_sizes(tmp_path: Path) -> None:
    one, other, seeded = (tmp_path / name for name in ("one", "other", "seeded"))
    for folder, seed in ((one, 0), (other, 0), (seeded, 1)):
        write_tables(dataclasses.replace(SMOKE.tables, seed=seed), folder)
    for name in ("items.tsv", "interactions.tsv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
        assert (one / name).read_bytes() != (seeded / name).read_bytes()


def test_the_product_reads_what_was_planned(tmp_path: Path) -> None:
    sizes = Tables(items=50, students=300, held_out_students=7, answers=20, words=(3, 9), vocabulary=90)
    write_tables(sizes, tmp_path / "tables")
    answers = read_tables(tmp_path / "tables")
    assert not answers.left_out
    assert set(np.diff(answers.offsets)) == {20}
    parts = {code: int((answers.split == code).sum()) for code in (TRAIN, VALIDATION, TEST)}
    assert parts == {TRAIN: 300 * 20, VALIDATION: 7 * 20, TEST: 7 * 20}
    words = [len(text.split()) for text in answers.texts.to_pylist()]
    assert (min(words), max(words)) == (3, 9)
    shown = np.sort(np.bincount(answers.items, minlength=50))
    assert shown[0] > 0
    assert shown[-1] > 5 * shown[0]
    assert 0.4 < answers.correct.mean() < 0.8


def test_the_full_size_has_toeics_shape(tmp_path: Path) -> None:
    """148 tokens an item: its words and two more; thousands of answers to it; no padding in a batch."""
    tables = FULL.tables
    write_tables(dataclasses.replace(tables, students=10, held_out_students=1), tmp_path / "tables")
    words = [len(text.split()) for text in read_tables(tmp_path / "tables").texts.to_pylist()]
    assert np.mean(words) + 2 == pytest.approx(148, abs=2)
    assert tables.students * tables.answers / tables.items > 2_000
    assert tables.students % BATCH == 0
    assert tables.answers == TOEIC.sequence


def test_it_claims_the_ratio_the_predictions_error_and_toeics_size(measured: Bench) -> None:
    assert [(claim.text, claim.bound, claim.kind) for claim in measured.claims] == [
        (f"{ENCODER}: gram-1e against E2E, samples/s over a whole epoch", 100.0, "at least"),
        (f"{ENCODER}: distance of the predicted ratio from the measured one", 0.25, "at most"),
        (f"{ENCODER}: predicted at TOEIC's size, gram-1e against E2E", 146.0, "at least"),
        (f"{LARGER}: predicted at TOEIC's size, gram-1e against E2E", 146.0, "at least"),
    ]


def test_the_ratio_is_that_of_the_samples(measured: Bench) -> None:
    (epoch_s,) = measured.samples[f"{ENCODER}: gram-1e, an epoch, s"]
    steps_s = Sample(measured.samples[f"{ENCODER}: E2E, a step, s"])
    assert len(steps_s.values) == SMOKE.e2e_steps
    steps = -(-SMOKE.tables.students // BATCH)
    assert measured.claims[0].value == pytest.approx(steps_s.median * steps / epoch_s)
    parts_s = measured.samples[f"{ENCODER}: gram-1e, opening, CF steps and closing, s"]
    assert sum(parts_s) == pytest.approx(epoch_s)


def test_parts_are_probed_before_and_after_the_epoch(measured: Bench) -> None:
    for part in (
        "CF alone, a step",
        "encoder without a graph, an item",
        "encoder forward and backward, an item",
        f"the same, {BATCH * SMOKE.tables.answers} at once as in E2E",
    ):
        assert len(measured.samples[f"{ENCODER}: {part}, s"]) == 2 * PROBES
        assert len(measured.samples[f"{LARGER}: {part}, s"]) == PROBES
        assert min(measured.samples[f"{ENCODER}: {part}, s"]) > 0


def test_the_predictions_follow_from_the_inputs_among_the_facts(measured: Bench) -> None:
    costs = {name: Costs(**measured.facts[f"inputs of the prediction, {name}"]) for name in (ENCODER, LARGER)}
    assert measured.claims[2].value == predict(costs[ENCODER], TOEIC).ratio
    assert measured.claims[3].value == predict(costs[LARGER], TOEIC).ratio
    size = Size(**measured.facts["predicted size"])
    assert (size.items, size.answers) == (SMOKE.tables.items, SMOKE.tables.students * SMOKE.tables.answers)
    error = predict(costs[ENCODER], size).ratio / measured.claims[0].value - 1
    assert measured.claims[1].value == pytest.approx(abs(error))
    assert f"({error:+.1%})" in measured.claims[1].note


def test_the_facts_say_what_was_trained(measured: Bench) -> None:
    facts, tables = measured.facts, SMOKE.tables
    assert facts["items"] == tables.items
    assert facts["answers"] == tables.students * tables.answers
    assert facts["R_of_the_epoch"] == tables.students * tables.answers / tables.items
    assert (
        facts["answers_to_an_item"]["least"] < facts["R_of_the_epoch"] < facts["answers_to_an_item"]["most"]
    )
    assert facts["drift"] > 0
    assert set(facts["loss_an_answer"]) == {"first tenth", "last tenth"}


def test_the_table_has_a_row_for_each_part(measured: Bench) -> None:
    rows = [(row["encoder"], row["what"].partition(",")[0]) for row in measured.rows]
    parts = ["CF alone", "encoder without a graph", "encoder forward and backward"]
    for encoder in (ENCODER, LARGER):
        assert [what for where, what in rows if where == encoder and what in parts][:3] == parts
    assert rows[-1][0] == "6 layers, 768 wide, an H100"


def test_an_epoch_whose_loss_is_not_finite_is_no_result(tmp_path: Path) -> None:
    """The optimisers are held back then, so that the seconds would be those of less work."""
    window = SimpleNamespace(occurrences=10, unique_items=5)
    sampler = SimpleNamespace(steps_per_epoch=2, samples=4)
    epoch = SimpleNamespace(
        windows=[window],
        losses=[torch.tensor(1.0), torch.tensor(float("nan"))],
        trial=SimpleNamespace(sampler=sampler),
    )
    result = Bench("toeic", "", smoke=True)
    found = Measured(epoch, 1.0, Sample((1.0,)), Sample((1.0,)))  # type: ignore[arg-type]
    with pytest.raises(ArithmeticError, match="not finite"):
        toeic.report_epoch(Lab(result, SMOKE, CPU, tmp_path), found)
    assert not result.rows


def test_without_a_cuda_device_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["toeic", "--smoke", "--device", "cuda"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert toeic.main() == 4
    assert "no CUDA device" in capsys.readouterr().err
