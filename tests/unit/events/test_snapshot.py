import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tui.logs import STATES, build

from grambench.events import snapshot as module
from grambench.events.fold import Fold
from grambench.events.reader import RunReader, log_of, read_records, read_run
from grambench.events.snapshot import FILE, load, save


def saved(folder: Path) -> Path:
    """A run whose snapshot is of now."""
    reader = RunReader(folder)
    reader.poll()
    snapshot = reader.snapshot()
    assert snapshot is not None
    save(folder, snapshot)
    return folder


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit the snapshot's JSON."""
    document = json.loads((folder / FILE).read_text())
    change(document)
    (folder / FILE).write_text(json.dumps(document))


@pytest.mark.parametrize("state", sorted(set(STATES) - {"empty"}))
def test_a_snapshot_holds_all_that_the_fold_knows(tmp_path: Path, state: str) -> None:
    folder = saved(build(state, tmp_path / "run"))
    snapshot = load(folder)
    assert snapshot is not None
    fold = Fold()
    for source, record in read_records(folder):
        fold.apply(source, record)
    assert snapshot.known == fold.known


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_run_read_on_from_a_snapshot_is_the_run_read_whole(tmp_path: Path, cut: float) -> None:
    """The logs up to a moment, a snapshot, then the rest of them."""
    folder, partial = build("eight", tmp_path / "run"), tmp_path / "partial"
    records = read_records(folder)
    moment_ns = records[round(cut * len(records))][1].stamp.t_ns
    for late in (False, True):
        for path in folder.rglob("*.jsonl"):
            target = partial / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as file:
                for line in path.read_bytes().splitlines(keepends=True):
                    if (json.loads(line)["t_ns"] > moment_ns) == late:
                        file.write(line)
        if not late:
            saved(partial)
    reader = RunReader(partial)
    before = reader.bytes_read
    assert reader.poll() < len(records)
    assert 0 < before < reader.bytes_read
    assert reader.state == read_run(folder)


def grown(folder: Path) -> None:
    with log_of(folder, "").open("ab") as file:
        file.write(b"torn")


def shorter(folder: Path) -> None:
    log = log_of(folder, "gram-1e.s0")
    log.write_bytes(log.read_bytes()[:-10])


def other_logs(folder: Path) -> None:
    log = log_of(folder, "e2e.s0")
    log.write_bytes(log.read_bytes().replace(b"completed", b"skippeded"))


def other_code(folder: Path) -> None:
    changed(folder, lambda document: document.update(code="0"))


def cut_file(folder: Path) -> None:
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-100])


def flipped(folder: Path) -> None:
    changed(folder, lambda document: document["known"]["state"].update(trials="none"))


def no_file(folder: Path) -> None:
    (folder / FILE).unlink()


@pytest.mark.parametrize("damage", [shorter, other_logs, other_code, cut_file, flipped, no_file])
def test_a_snapshot_that_does_not_fit_is_not_used(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = saved(build("finished", tmp_path / "run"))
    assert load(folder) is not None
    damage(folder)
    assert load(folder) is None
    fresh = RunReader(folder, use_snapshot=False)
    fresh.poll()
    assert read_run(folder) == fresh.state


def test_a_log_that_only_grew_still_fits(tmp_path: Path) -> None:
    folder = saved(build("finished", tmp_path / "run"))
    grown(folder)
    assert load(folder) is not None


def test_the_digest_is_that_of_the_code_that_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = module.code_digest()
    module.code_digest.cache_clear()
    read: list[str] = []
    monkeypatch.setattr(
        Path, "read_bytes", lambda path, real=Path.read_bytes: read.append(path.name) or real(path)
    )
    assert module.code_digest() == digest
    assert {"fold.py", "sentences.py", "gpu_identity.py", "trial_name.py", "catalogue.py"} <= set(read)
    monkeypatch.setattr(module, "__version__", "another")
    module.code_digest.cache_clear()
    assert module.code_digest() != digest
    module.code_digest.cache_clear()


def test_what_is_wrong_with_the_lines_before_a_snapshot_stays_known(tmp_path: Path) -> None:
    folder = build("mid", tmp_path / "run")
    log = folder / "e2e.s0" / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:3], b"junk\n", *lines[6:]]))
    reader = RunReader(folder)
    reader.poll()
    told = reader.state.log_complaints
    assert len(told) == 2
    snapshot = reader.snapshot()
    assert snapshot is not None
    save(folder, snapshot)
    again = RunReader(folder)
    assert again.poll() == 0
    assert again.state.log_complaints == told
