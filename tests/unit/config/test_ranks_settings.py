"""Numbers of ranks that can be trained, and those that cannot, with what is said about them."""

from typing import Any

import pytest

from grambench.config.presets import load_preset, with_changes
from grambench.errors import ConfigError


def spec(*assignments: str) -> Any:
    return load_preset("demo", assignments)


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["ranks.nproc=2", "training.strategies=['crcf-1s', 'e2e']"], "several ranks cannot train crcf-1s:"),
        (["ranks.nproc=2", "device=cuda:1"], "2 ranks need as many devices, not cuda:1 alone"),
        (["ranks.nproc=2", "device='cuda:0,cuda:1,cuda:2'"], "3 devices cannot be shared by trials of 2"),
        (["ranks.nproc=2", "device='cpu,cpu,cpu,cpu'", "schedule=race"], "schedule = race uses 2 devices"),
        (["ranks.nnodes=2"], "2 nodes need an endpoint, HOST:PORT of the first one"),
        (["ranks.nnodes=2", "ranks.endpoint=here"], "not 'here'"),
        (["ranks.nproc=0"], "ranks.nproc"),
        (["ranks.nproc=1025"], "ranks.nproc"),
    ],
)
def test_what_cannot_be_trained_is_refused(assignments: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        spec(*assignments)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("device", "nproc", "places", "schedule"),
    [
        ("cuda", 4, ("cuda",), "race"),
        ("cuda:2,cuda:3", 2, ("cuda:2,cuda:3",), "race"),
        ("cuda:0,cuda:1,cuda:2,cuda:3", 2, ("cuda:0,cuda:1", "cuda:2,cuda:3"), "parallel"),
        ("cuda:0,cuda:1", 1, ("cuda:0", "cuda:1"), "parallel"),
    ],
)
def test_devices_are_dealt_to_trials_in_groups(
    device: str, nproc: int, places: tuple[str, ...], schedule: str
) -> None:
    resolved = load_preset("my-news", [f"device='{device}'", f"ranks.nproc={nproc}"])
    assert resolved.places == places
    assert resolved.schedule == schedule


def test_other_ranks_change_nothing_else() -> None:
    before = spec()
    after = with_changes(before, ["ranks.nproc=3"])
    assert after.ranks.size == 3
    assert after.model_copy(update={"ranks": before.ranks}) == before
    with pytest.raises(ConfigError, match=r"ranks\.nproc"):
        with_changes(before, ["ranks.nproc=many"])
