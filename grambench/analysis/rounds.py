"""Which rounds of two trials of a race belong together."""

from collections.abc import Sequence

from grambench.events.rounds import Round


def paired_rounds(candidate: Sequence[Round], reference: Sequence[Round]) -> list[tuple[Round, Round]]:
    """The rounds that two trials of a race have in common, in order.

    A round ends as soon as both have given back a turn since the last one. Where one of them catches up
    after a long turn of the other, its turns up to there are one round, so that both sides of a pair are of
    the same stretch of the race.

    Returns:
        Cumulated training seconds and samples of either at the end of each round; turns after the last common
        round are left out.
    """
    pairs, own, other = [], 0, 0
    while own < len(candidate) and other < len(reference):
        end = max(candidate[own].number, reference[other].number)
        first, own = own, _until(candidate, own, end)
        begun, other = other, _until(reference, other, end)
        pairs.append((_joined(candidate[first:own]), _joined(reference[begun:other])))
    return pairs


def _until(rounds: Sequence[Round], at: int, end: int) -> int:
    while at < len(rounds) and rounds[at].number <= end:
        at += 1
    return at


def _joined(rounds: Sequence[Round]) -> Round:
    last = rounds[-1]
    if len(rounds) == 1:
        return last
    return Round(last.number, last.train_s, last.samples, any(one.disturbed for one in rounds))
