"""A cache whose disk is full, and preparations of the same data at once, of which one is killed."""

import re
from pathlib import Path

import pytest
from disks import fill, small_disk

from attacks import kills
from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.domains.prepared import open_prepared
from grambench.errors import MachineError
from grambench.events import types as ev
from grambench.worker.prepare import prepare_data

SMALL = (
    "data.synthetic={news = 60, users = 40, train_impressions = 50, dev_impressions = 20}",
    "encoder.architecture={hidden_size = 16, layers = 1, heads = 2}",
    "filter.nrms.heads=2",
)


def ignore(_: ev.Event) -> None: ...


def refusal(spec: Spec) -> MachineError | None:
    """Why the data cannot be prepared."""
    try:
        prepare_data(spec, ignore)
    except MachineError as error:
        return error
    return None


def test_a_full_cache_is_one_sentence_and_leaves_nothing_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, refused = load_preset("demo", SMALL), 0

    with small_disk(tmp_path / "disk", "1m") as disk:
        monkeypatch.setenv("GRAMBENCH_CACHE", str(disk / "cache"))
        for room in range(0, 256 << 10, 12 << 10):
            ballast = fill(disk, room)
            if (error := refusal(spec)) is None:
                break
            assert re.search("cannot be written: .*No space left on device", error.message)
            refused += 1
            assert kills.leftovers(disk) == []
            ballast.unlink()
        assert refused > 3
        assert open_prepared(prepare_data(spec, ignore)).manifest.items.items >= 60


@pytest.mark.slow
def test_one_of_two_preparations_is_killed_and_the_other_one_finishes() -> None:
    assert kills.attack_preparation(count=1, seed=0) == []
