from grambench.runner.pacing import GROWTH_BYTES, Due, Growth, Pacing


def ticks(pacing: Pacing, count: int, first: int = 0, jitter_s: float = 0.0) -> list[Due]:
    """What is due at so many ticks of half a second, each a little late or early."""
    return [
        pacing.due(100 + 0.5 * tick + (jitter_s if tick % 2 else 0.0)) for tick in range(first, first + count)
    ]


def counts(dues: list[Due]) -> tuple[int, int, int]:
    return sum(d.clocks for d in dues), sum(d.energy for d in dues), sum(d.processes for d in dues)


def test_everything_is_due_at_first() -> None:
    assert Pacing().due(7.0) == Due(True, True, True)


def test_a_minute_has_sixty_readings_of_clocks_four_of_energy_and_twelve_of_the_lists() -> None:
    pacing = Pacing()
    pacing.due(100.0)
    assert counts(ticks(pacing, 120, first=1)) == (60, 4, 12)


def test_ticks_that_come_a_little_late_or_early_change_no_rate() -> None:
    for jitter_s in (-0.1, 0.1):
        pacing = Pacing()
        pacing.due(100.0)
        assert counts(ticks(pacing, 120, first=1, jitter_s=jitter_s)) == (60, 4, 12)


def test_an_edge_makes_energy_and_lists_due_and_starts_their_times_anew() -> None:
    pacing = Pacing()
    pacing.due(100.0)
    assert pacing.due(104.7, edge=True) == Due(True, True, True)
    assert pacing.due(105.0) == Due(False, False, False)
    assert pacing.due(109.5).processes
    assert not pacing.due(115.0).energy
    assert pacing.due(119.5).energy


def test_memory_that_grows_is_noticed_once_for_each_new_height() -> None:
    growth, big = Growth(), GROWTH_BYTES
    growth.listed({"a": 5}, edge=False)
    assert not growth.seen({"a": big})
    assert growth.seen({"a": 5 + big})
    growth.listed({"a": 5 + big}, edge=False)
    assert not growth.seen({"a": 5 + big})
    growth.listed({"a": 5}, edge=False)  # a smaller height is no news, and does not become the measure
    assert not growth.seen({"a": 5 + big})
    growth.listed({"a": 5}, edge=True)  # another worker's memory is measured by itself
    assert growth.seen({"a": 5 + big})
