"""Ranks on cards and on the machine's screen: what is there, what drops first, what is not measured."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tui.logs import GIB, UUID, build

from grambench.events.reader import read_run
from grambench.events.state import RunState, TrialState
from grambench.events.types import GpuSample
from grambench.tui.detail_text import machine_text, strategy_text
from grambench.tui.layout import Density, plan
from grambench.tui.ranks_text import ROWS, ranks_text
from grambench.tui.scene import Scene
from grambench.tui.widgets import card


@pytest.fixture(scope="module")
def state_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunState]:
    built = cache(lambda name: build(name, tmp_path_factory.mktemp(name) / "run"))
    return lambda name: read_run(built(name))


def newest(state: RunState) -> TrialState:
    return list(state.trials.values())[-1]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, "2 ranks  wait 7 %  slowest r1 +2 %"),
        (33, "2 ranks  wait 7 %"),
        (16, "2 ranks"),
    ],
)
def test_the_slowest_drops_before_the_waiting(
    width: int, shown: str, state_of: Callable[[str], RunState]
) -> None:
    state = state_of("ranks")
    line = card._Slots(Scene.of(state, dark=True), newest(state), width).ranks()
    assert line.plain.rstrip() == shown


def test_a_card_of_one_line_has_ranks_where_it_has_room(state_of: Callable[[str], RunState]) -> None:
    state = state_of("ranks")
    scene = Scene.of(state, dark=True)
    wide, narrow = (card._Slots(scene, newest(state), width).one_line()[0].plain for width in (150, 60))
    assert "2 ranks wait 7 %" in wide
    assert "ranks" not in narrow
    assert narrow.strip().startswith("◆ gram-1e")


def test_the_row_for_ranks_takes_no_panel_and_no_density() -> None:
    rows = set()
    for width in range(60, 201, 10):
        for height in range(20, 70):
            for trials in (1, 3, 8):
                alone, with_ranks = (plan(width, height, trials, 0, ranks=ranks) for ranks in (False, True))
                assert alone.density == with_ranks.density
                assert (alone.log > 0, alone.side > 0) == (with_ranks.log > 0, with_ranks.side > 0)
                assert not (with_ranks.ranks and with_ranks.density == Density.LINE)
                rows.add(with_ranks.ranks)
    assert rows == {0, 1}
    assert plan(80, 24, 3, 0, ranks=True).card == Density.COMPACT + 1
    assert plan(160, 45, 3, 0, ranks=True).card == Density.TALL + 1


def test_a_rank_has_the_readings_of_its_own_gpu(state_of: Callable[[str], RunState]) -> None:
    state = state_of("mid")
    trial = newest(state)
    other = "GPU-5f2a1c9e-0000-0000-0000-000000000002"
    gpu = state.gpus[UUID]
    sample = replace(gpu.last, uuid=other, index=1, utilization_percent=73.0, memory_used_bytes=3 * GIB)
    state.gpus[other] = replace(gpu, last=sample)
    trial.group = newest(state_of("ranks")).group
    assert trial.group is not None
    for rank, uuid in enumerate((UUID, other)):
        one = trial.group.ranks[rank]
        assert one.started is not None
        one.started = replace(one.started, device=f"cuda:{rank}", gpu_uuid=uuid)
    lines = machine_text(Scene.of(state, dark=True), 78).plain.splitlines()
    assert lines[3].split()[:6] == ["r1", "GPU", "1", "73", "%", "3.00"]
    assert lines[2].split()[:3] == ["r0", "GPU", "0"]
    assert isinstance(gpu.last, GpuSample)


def test_more_ranks_than_rows_are_a_strip_with_the_slowest_named(state_of: Callable[[str], RunState]) -> None:
    state = state_of("many_ranks")
    (block,) = ranks_text(Scene.of(state, dark=True), 40)
    lines = block.plain.splitlines()
    assert [len(line) for line in lines[1:3]] == [6 + 32, 6 + 16]
    assert lines[2].startswith("r32")
    assert [line.split()[0] for line in lines[-5:]] == ["r5", "r12", "r19", "r26", "r33"]
    group = newest(state).group
    assert group is not None
    assert len(group.ranks) > ROWS
    for rank in group.ranks.values():
        assert rank.sample is not None
        rank.sample = replace(rank.sample, wait_s=None)
    words = ranks_text(Scene.of(state, dark=True), 78)[0].plain
    assert "waiting is not measured on CUDA" in words
    assert "·" * 48 in words
    slots = card._Slots(Scene.of(state, dark=True), newest(state), 60)
    assert slots.ranks().plain == "48 ranks"


def test_the_strategy_screen_has_bytes_and_both_reuse_ratios(state_of: Callable[[str], RunState]) -> None:
    state = state_of("ranks")
    text = strategy_text(Scene.of(state, dark=True), newest(state)).plain
    rows = text.split("ranks\n")[1].splitlines()[:6]
    assert [tuple(row.rsplit(maxsplit=1)) for row in rows] == [
        ("number", "2"),
        ("in messages", "6%"),
        ("MiB a step", "0.11"),
        ("R of a part", "1.4"),
        ("R of a batch", "3.4"),
        ("restarts", "0"),
    ]


def test_one_process_shows_nothing_of_ranks(state_of: Callable[[str], RunState]) -> None:
    state = state_of("mid")
    scene = Scene.of(state, dark=True)
    assert ranks_text(scene, 80) == []
    assert "ranks" not in strategy_text(scene, newest(state)).plain
    assert "ranks" not in machine_text(scene, 80).plain
