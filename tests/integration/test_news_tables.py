"""Plain tables of news through real processes: the arrays of every format, one run, and errors."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from live_runs import Bench, complaint, report_of

DAY = 86_400
SETTINGS = {
    "data.source": '"news-tables"',
    "data.dataset": '"mine"',
    "training.max_steps": 2,
    "training.epochs": 1,
}
CHANGES = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def tables() -> dict[str, Rows]:
    """30 items, and 120 impressions of ten days; titles hold what a CSV has to quote."""
    draw = random.Random(0)
    items = [{"id": f"N{number}", "title": f'the "{number}", a tale of {number % 5}'} for number in range(30)]
    impressions = []
    for number in range(120):
        ids = draw.sample([item["id"] for item in items], 8)
        impressions.append(
            {
                "user": f"U{number % 25}",
                "history": " ".join(ids[: number % 4]),
                "candidates": " ".join(f"{id_}-{int(place == 0)}" for place, id_ in enumerate(ids[3:])),
                "time": str(18_000 * DAY + number * DAY // 12),
            }
        )
    return {"items": items, "impressions": impressions}


def put(folder: Path, suffix: str, tables: dict[str, Rows]) -> Path:
    folder.mkdir()
    for name, rows in tables.items():
        path = folder / f"{name}{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif suffix == ".csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path.write_text(
                "".join("\t".join(row) + "\n" for row in [list(rows[0]), *map(dict.values, rows)])
            )
    return folder


def prepared(bench: Bench, folder: Path) -> dict[str, Any]:
    """The manifest that `data prepare` leaves."""
    ended = bench.call("data", "prepare", bench.preset, "--data-dir", folder, *CHANGES)
    assert ended.code == 0, ended.err
    where = Path(ended.out.splitlines()[0].split(maxsplit=1)[1])
    manifest: dict[str, Any] = json.loads((where / "manifest.json").read_bytes())
    arrays = {name: (where / f"{name}.npy").read_bytes() for name in manifest["arrays"]}
    return manifest | {"bytes": arrays}


def test_every_format_gives_the_same_arrays(bench: Bench, tables: dict[str, Rows], tmp_path: Path) -> None:
    found = {
        suffix: prepared(bench, put(tmp_path / suffix[1:], suffix, tables))
        for suffix in (".csv", ".parquet", ".tsv")
    }
    first = found[".csv"]
    assert first["items"]["items"] == 30
    counts = {name: part["counts"]["impressions"] for name, part in first["parts"].items()}
    assert counts == {"train": 84, "validation": 12, "test": 24}
    assert len({manifest["fingerprint"] for manifest in found.values()}) == 3
    for manifest in found.values():
        for same in ("parts", "items", "arrays", "bytes"):
            assert manifest[same] == first[same], same


def test_a_run_trains_on_csv(bench: Bench, tables: dict[str, Rows], tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", ".csv", tables)
    command = bench.run("--data-dir", folder, *CHANGES, "--strategies", "gram-1s", "--plain")
    ended = command.wait()
    assert ended.code == 0, ended.err
    (trial,) = report_of(command.run)["trials"]
    assert (trial["outcome"], trial["steps"]) == ("completed", 2)
    assert 0 <= trial["test"]["auc"] <= 1


def test_tables_that_leave_nothing_to_train_on_are_one_sentence(
    bench: Bench, tables: dict[str, Rows], tmp_path: Path
) -> None:
    marked = tables | {"impressions": [row | {"split": "test"} for row in tables["impressions"]]}
    ended = bench.call(
        "data", "prepare", bench.preset, "--data-dir", put(tmp_path / "mine", ".csv", marked), *CHANGES
    )
    assert (ended.code, ended.out) == (3, "")
    assert complaint(ended.err.splitlines()[-1]).startswith(
        "No impression is in the split `train`. Mark some"
    )
    assert "Traceback" not in ended.err


def test_tables_under_the_name_of_mind_are_not_fetched(bench: Bench) -> None:
    ended = bench.call("data", "prepare", "mind-small", "--set", "data.source=news-tables")
    assert (ended.code, ended.out) == (3, "")
    assert complaint(ended.err).startswith("There is no data for 'mind-small'")
    assert not (bench.folder / "cache" / "datasets" / "mind-small").exists()
