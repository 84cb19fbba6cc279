"""Several runs: which may be compared, how they differ, and as one comparison."""

import math
from pathlib import Path
from typing import Any

import pytest
import report_logs as logs

from grambench.errors import ConfigError, ExitCode, NotComparableError
from grambench.reports.build import build_report, report_json
from grambench.reports.comparable import Source, named_sources, require_comparable
from grambench.reports.compare import LabelCompared, RunsCompared, changes_by_name, compare_runs
from grambench.reports.merge import MergedRuns, merge_runs
from grambench.reports.namespace import names_of, numbers_of
from grambench.reports.read import read_report
from grambench.reports.schema import Report

KEPT = Path(__file__).parents[2] / "kept_runs/0.1/kept-20261127-123413/report.json"
OTHER_HOST = logs.HOST | {"cpu_model": "Intel Xeon", "hostname": "other"}


def sources(*folders: Path) -> list[Source]:
    return named_sources([(folder.name, build_report(folder)) for folder in folders])


def label_in(compared: RunsCompared, label: str) -> LabelCompared:
    (found,) = (each for each in compared.labels if each.label == label)
    return found


def whole_as(report: Report, **changes: Any) -> Source:
    return Source(report.run.name, report.model_copy(update=changes))


# --- compare -----------------------------------------------------------------------------------


def test_a_later_run_against_the_first_by_hand(tmp_path: Path) -> None:
    before = logs.write_seeds(tmp_path / "a", (0, 1, 2, 5))
    after = logs.write_seeds(tmp_path / "b", (0, 1, 2, 9), epoch_s=2.0, test_auc=0.67)
    compared = compare_runs(sources(before, after))
    assert [run.name for run in compared.runs] == ["a", "b"]
    assert (compared.environment, compared.left_out) == ([], [])
    assert compared.target == pytest.approx(0.70 - 0.002)
    own = label_in(compared, "gram-1s")
    assert [(each.run, each.trials) for each in own.runs] == [("a", 4), ("b", 4)]
    assert own.runs[0].samples_per_s == pytest.approx(10 / (1 * 1.01 * 1.02 * 1.05) ** 0.25)
    assert own.runs[1].test_score == pytest.approx(0.6703)
    (change,) = own.changes
    assert change.cost is not None
    assert change.quality is not None
    assert change.time_to_target is not None
    assert change.speedup is not None
    assert change.cost.ratio == pytest.approx(2)
    assert (change.cost.processes, change.quality.seeds) == (3, 3)
    assert change.quality.difference == pytest.approx(0.01)
    assert change.quality.verdict == "better"
    assert change.time_to_target.ratio_low == pytest.approx(2)
    assert change.speedup.ratio == pytest.approx(2)
    assert change.speedup.interval is not None
    (reference,) = label_in(compared, "e2e").changes
    assert reference.speedup is not None
    assert reference.speedup.reasons["ratio"] == "it is the reference"
    assert RunsCompared.model_validate_json(compared.model_dump_json()) == compared


def test_below_three_common_seeds_there_is_no_interval_and_nothing_is_decided(tmp_path: Path) -> None:
    before = logs.write_seeds(tmp_path / "a", (0, 1))
    after = logs.write_seeds(tmp_path / "b", (0, 1), test_auc=0.9)
    (change,) = label_in(compare_runs(sources(before, after)), "gram-1s").changes
    assert change.cost is not None
    assert change.quality is not None
    assert change.cost.between is None
    assert change.cost.ratio == pytest.approx(1)
    assert (change.quality.interval, change.quality.verdict) == (None, "undecided")


def test_without_a_common_seed_changes_are_missing_with_that_reason(tmp_path: Path) -> None:
    compared = compare_runs(
        sources(logs.write_seeds(tmp_path / "a", (0,)), logs.write_seeds(tmp_path / "b", (1,)))
    )
    (change,) = label_in(compared, "gram-1s").changes
    assert set(change.reasons.values()) == {"the runs have no seed in common"}
    numbers, reasons = changes_by_name(compared, "b")
    assert numbers["change"]["auc"]["gram-1s"] is None
    assert reasons["change.auc.gram-1s"] == "the runs have no seed in common"


def test_seeds_repeats_schedule_device_and_folders_may_differ(tmp_path: Path) -> None:
    training = {"repeats": 2, "order": "same", "checkpoint_s": 9.0, "micro_batch": 2}
    spec = {"name": "x", "schedule": "race", "cpu_threads": 3, "training": training}
    pair = sources(logs.write_seeds(tmp_path / "a", (0,)), logs.write_seeds(tmp_path / "b", (0,), spec=spec))
    shown = {row.field: row.values for row in compare_runs(pair).environment}
    assert shown["schedule"] == ["sequential", "race"]
    assert shown["training.micro_batch"] == ["auto", "2"]
    assert "training.repeats" not in shown


@pytest.mark.parametrize(("table", "name"), [("encoder", "cache_gib"), ("data", "device_gib")])
def test_where_states_and_data_lie_may_differ(table: str, name: str, tmp_path: Path) -> None:
    kept = {"model": "m", "adapt": "freeze"} if table == "encoder" else {}
    runs = (
        logs.write_seeds(tmp_path / f"{gib}", (0,), spec={table: {**kept, name: gib}}) for gib in (1.0, 2.0)
    )
    shown = {row.field: row.values for row in compare_runs(sources(*runs)).environment}
    assert shown[f"{table}.{name}"] == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"training": {"batch_size": 128}}, "training.batch_size: 256 in a, 128 in b"),
        ({"evaluation": {"margin_auc": 0.01}}, "evaluation.margin_auc: 0.002 in a, 0.01 in b"),
        ({"evaluation": {"select_by": "mrr"}}, "evaluation.select_by: auc in a, mrr in b"),
        ({"encoder": {"model": "m", "dropout": 0.1}}, "encoder.model: nreimers/TinyBERT"),
    ],
)
def test_settings_that_change_the_update_or_the_score_are_refused(
    tmp_path: Path, spec: dict[str, Any], words: str
) -> None:
    pair = sources(logs.write_seeds(tmp_path / "a", (0,)), logs.write_seeds(tmp_path / "b", (0,), spec=spec))
    with pytest.raises(NotComparableError, match=words) as error:
        require_comparable(pair, across_hardware=True)
    assert error.value.exit_code == ExitCode.NOT_COMPARABLE == 8
    assert error.value.fix


def test_settings_that_neither_run_reads_may_differ(tmp_path: Path) -> None:
    other = logs.write_seeds(tmp_path / "b", (0,), spec={"crcf": {"pull": 0.5}})
    require_comparable(sources(logs.write_seeds(tmp_path / "a", (0,)), other), across_hardware=False)


def test_trials_of_one_label_with_other_settings_are_refused(tmp_path: Path) -> None:
    specs = [
        {"trials": ({"strategy": "e2e"}, {"strategy": "gram-1s", "training.epochs": epochs})}
        for epochs in (2, 3)
    ]
    pair = [
        logs.write_seeds(tmp_path / name, (0,), spec=spec) for name, spec in zip("ab", specs, strict=True)
    ]
    with pytest.raises(
        NotComparableError, match=r"The trials gram-1s differ: gram-1s training\.epochs = 2 in a"
    ):
        compare_runs(sources(*pair))


def test_other_data_other_weights_and_a_failed_audit_are_refused(tmp_path: Path) -> None:
    first, other = sources(logs.write_seeds(tmp_path / "a", (0,)), logs.write_seeds(tmp_path / "b", (0,)))
    report = other.report
    assert report.data is not None
    assert report.audit is not None
    environment = report.environment
    reasons = {name: why for name, why in environment.reasons.items() if name != "inputs"}

    def reading(digest: str, of: Report) -> dict[str, Any]:
        inputs = {"encoder.model": {"model.safetensors": digest}}
        changed = {"inputs": inputs, "reasons": reasons}
        return {"environment": of.environment.model_copy(update=changed)}

    for pair, words in (
        ([first, whole_as(report, data=report.data.model_copy(update={"fingerprint": "f2"}))], "other data"),
        ([first, whole_as(report, data=None)], "b has prepared no data"),
        (
            [first, whole_as(report, audit=report.audit.model_copy(update={"equivalent": False}))],
            "The audit of b found that gram-1s is not e2e",
        ),
        (
            [
                first,
                whole_as(
                    report, audit=report.audit.model_copy(update={"ranks": 2, "ranks_equivalent": False})
                ),
            ],
            "The audit of b found that 2 ranks are not one process",
        ),
        ([first, whole_as(report, audit=None)], "b has no audit"),
        (
            [whole_as(first.report, **reading("1", first.report)), whole_as(report, **reading("2", report))],
            "other files as encoder.model",
        ),
    ):
        with pytest.raises(NotComparableError, match=words):
            compare_runs(pair, across_hardware=True)


def test_two_machines_are_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    pair = sources(
        logs.write_seeds(tmp_path / "a", (0,)), logs.write_seeds(tmp_path / "b", (0,), host=OTHER_HOST)
    )
    with pytest.raises(NotComparableError, match=r"CPU: AMD EPYC in a, Intel Xeon in b.*--across-hardware"):
        compare_runs(pair)
    rows = compare_runs(pair, across_hardware=True).environment
    assert [(row.field, row.changes_cost) for row in rows] == [("CPU", True), ("hostname", False)]


def test_a_run_is_not_compared_with_itself_and_same_names_are_told_apart(tmp_path: Path) -> None:
    report = build_report(logs.write_seeds(tmp_path / "a", (0,)))
    with pytest.raises(ConfigError, match="x and y are the same run"):
        named_sources([("x", report), ("y", report)])
    with pytest.raises(ConfigError, match="Name two or more"):
        named_sources([("x", report)])
    later = report.model_copy(update={"run": report.run.model_copy(update={"created": "later"})})
    assert [each.name for each in named_sources([("x", report), ("y", later)])] == ["x", "y"]


def test_reports_of_version_1_are_compared_but_not_merged() -> None:
    report = read_report(KEPT)
    later = report.model_copy(update={"run": report.run.model_copy(update={"name": "later"})})
    pair = named_sources([("x", report), ("y", later)])
    compared = compare_runs(pair)
    assert "gram-1e" in [each.label for each in compared.labels]
    (change,) = label_in(compared, "e2e").changes
    assert change.cost is not None
    assert change.cost.ratio == 1
    with pytest.raises(NotComparableError, match="version 1 hold no pairs"):
        merge_runs(pair)
    numbers, reasons = numbers_of(report)
    assert numbers["speedup"]["gram-1e"] is None
    assert "before this was measured" in reasons["speedup.gram-1e"]


# --- merge -------------------------------------------------------------------------------------


def test_merged_runs_are_compared_over_all_their_pairs(tmp_path: Path) -> None:
    first = logs.write_seeds(tmp_path / "a", (0, 1, 2))
    other = logs.write_seeds(tmp_path / "b", (2, 3, 4, 5), test_auc=0.67, host=OTHER_HOST)
    merged = merge_runs(sources(first, other))
    assert [row.field for row in merged.environment] == ["CPU", "hostname"]
    (each,) = merged.comparisons
    assert [(pair.run, pair.seed) for pair in each.pairs] == [
        ("a", 0), ("a", 1), ("a", 2), ("b", 2), ("b", 3), ("b", 4), ("b", 5),
    ]  # fmt: skip
    speedups = [10 / (4 * (1 + seed / 100)) for seed in (0, 1, 2, 2, 3, 4, 5)]
    assert each.cost.ratio == pytest.approx(math.prod(speedups) ** (1 / 7))
    assert each.cost.processes == 7
    assert each.quality.seeds == each.time_to_target.seeds == 6
    differences = [0.01, 0.0101, 0.0152, 0.0203, 0.0204, 0.0205]
    assert each.quality.difference == pytest.approx(sum(differences) / 6)
    assert each.quality.interval is not None
    assert (each.quality.interval.units, each.quality.interval.method) == (6, "sign-flip")
    assert each.conclusion == "pays"
    assert MergedRuns.model_validate_json(merged.model_dump_json()) == merged


def test_a_merged_report_is_that_of_its_file(tmp_path: Path) -> None:
    folders = [logs.write_seeds(tmp_path / name, (seed,)) for seed, name in enumerate("ab")]
    files = [tmp_path / f"{folder.name}.json" for folder in folders]
    for folder, file in zip(folders, files, strict=True):
        file.write_text(report_json(build_report(folder)))
    read = named_sources([(file.name, read_report(file)) for file in files])
    assert merge_runs(read) == merge_runs(sources(*folders))


# --- names of --fail-on ------------------------------------------------------------------------


def test_numbers_of_a_report_have_names_and_missing_ones_a_reason(tmp_path: Path) -> None:
    numbers, reasons = numbers_of(build_report(logs.write_seeds(tmp_path / "a", (0,))))
    assert numbers["speedup"]["gram-1s"] == pytest.approx(2.5)
    assert numbers["difference"]["gram-1s"] == pytest.approx(0.01)
    assert numbers["auc"] == pytest.approx({"e2e": 0.65, "gram-1s": 0.66})
    assert numbers["samples_per_s"] == pytest.approx({"e2e": 4, "gram-1s": 10})
    assert numbers["time_ratio"]["gram-1s"] > 1
    assert 0 < numbers["grade"]["kept"] <= numbers["grade"]["total"]
    assert numbers["speedup_low"]["gram-1s"] is None
    assert "--repeats 3" in reasons["speedup_low.gram-1s"]
    assert reasons["speedup.e2e"] == "it is the reference"
    assert {name: set(values) for name, values in names_of(["e2e", "gram-1s"]).items()} == {
        name: set(values) for name, values in numbers.items()
    }
