"""Rounds that two trials of a race have in common."""

from grambench.analysis.anytime import block_log_ratios
from grambench.analysis.rounds import paired_rounds
from grambench.events.rounds import Round


def rounds(*numbers: int, disturbed: tuple[int, ...] = ()) -> list[Round]:
    """A second and 8 samples a turn."""
    return [Round(n, i + 1.0, 8 * (i + 1), n in disturbed) for i, n in enumerate(numbers)]


def ends(own: list[Round], other: list[Round]) -> list[tuple[int, int]]:
    return [(a.number, b.number) for a, b in paired_rounds(own, other)]


def test_turns_that_alternate_are_paired_one_by_one() -> None:
    assert ends(rounds(1, 3, 5, 7), rounds(2, 4, 6)) == [(1, 2), (3, 4), (5, 6)]
    assert ends(rounds(1, 4, 5), rounds(2, 3, 6)) == [(1, 2), (4, 3), (5, 6)]
    assert ends(rounds(1, 2), []) == []


def test_turns_that_catch_up_after_a_long_one_are_one_round() -> None:
    """By index, the third turns would be paired: those after 3 and after 9 turns of the run."""
    own, other = rounds(1, 10, 13), rounds(2, 4, 6, 8, 12, 15, disturbed=(4,))
    pairs = paired_rounds(own, other)
    assert [(a.number, b.number) for a, b in pairs] == [(1, 2), (10, 8), (13, 12)]
    assert [(b.train_s, b.samples) for _, b in pairs] == [(1.0, 8), (4.0, 32), (5.0, 40)]
    assert [b.disturbed for _, b in pairs] == [False, True, False]


def test_a_machine_that_slows_down_does_not_favour_who_takes_long_turns() -> None:
    """Both cost the same at any time; one takes a turn of 10 s where the other takes ten of 1 s."""
    own, other, number, samples = [], [], 0, 0.0
    for sweep in range(40):
        rate = 10.0 - sweep / 8
        samples += 10 * rate
        number += 1
        own.append(Round(number, 10.0 * (sweep + 1), round(1000 * samples), False))
        for second in range(1, 11):
            number += 1
            done = 1000 * (samples - (10 - second) * rate)
            other.append(Round(number, 10.0 * sweep + second, round(done), False))
    pairs = paired_rounds(own, other)
    closed = [[(side.train_s, float(side.samples)) for side in sides] for sides in zip(*pairs, strict=True)]
    paired = block_log_ratios(closed[0], closed[1])
    by_index = block_log_ratios(
        [(each.train_s, float(each.samples)) for each in own],
        [(each.train_s, float(each.samples)) for each in other[: len(own)]],
    )
    assert max(map(abs, paired)) < 0.05
    assert min(by_index) < -0.2
