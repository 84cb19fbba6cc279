"""The verdict: one word for the quality, one conclusion, and a sentence that claims no more than both."""

import math

import numpy as np
import pytest

from grambench.analysis.confidence import ConfidenceInterval
from grambench.analysis.paired import seed_interval
from grambench.analysis.sentences import cost_sentence, share_of_time, short, signed, verdict_sentence
from grambench.analysis.time_to_target import TimeToTarget, Wait, compare_waits
from grambench.analysis.verdict import Comparison, verdict


def interval(low: float, high: float, units: int = 6) -> ConfidenceInterval:
    return ConfidenceInterval(low, high, 0.969, units, "sign-flip")


def speed(ratio: float, low: float, high: float) -> TimeToTarget:
    ends = interval(math.log(low), math.log(high))
    return TimeToTarget(math.log(ratio), math.log(ratio), ends, None, 6, 6, 6)


AS_GOOD, LOWER, UNCLEAR = interval(-0.001, 0.006), interval(-0.021, -0.009), interval(-0.005, 0.002)
EIGHT = speed(7.9, 7.1, 8.6)


def said(
    time: TimeToTarget | None, difference: float | None, quality: ConfidenceInterval | None, **fields: object
) -> str:
    given = {"candidate": "gram-1e", "reference": "e2e", "seeds": 6, **fields}
    return verdict_sentence(Comparison(time=time, difference=difference, quality=quality, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.0001, 0.003, "better"),
        (-0.0019, 0.003, "as good"),
        (-0.0019, -0.0001, "as good"),
        (-0.003, -0.0001, "worse"),
        (-0.003, 0.003, "undecided"),
        (-0.002, 0.003, "undecided"),
    ],
)
def test_the_word_for_a_difference(low: float, high: float, word: str) -> None:
    assert verdict(interval(low, high), 0.002) == word
    assert verdict(None) == "undecided"


def test_equals_are_called_better_or_worse_in_at_most_three_of_a_hundred_each() -> None:
    rng = np.random.default_rng(12)
    words = [verdict(seed_interval(row)) for row in 0.002 * rng.normal(size=(1000, 6))]
    assert words.count("better") / 1000 <= 0.03
    assert words.count("worse") / 1000 <= 0.03
    lower = [verdict(seed_interval(row)) for row in -0.002 + 0.002 * rng.normal(size=(1000, 6))]
    assert (lower.count("better") + lower.count("as good")) / 1000 <= 0.03


@pytest.mark.parametrize(
    ("time", "quality", "conclusion"),
    [
        (EIGHT, AS_GOOD, "pays"),
        (EIGHT, LOWER, "does not pay"),
        (EIGHT, UNCLEAR, "undecided"),
        (EIGHT, None, "undecided"),
        (None, AS_GOOD, "undecided"),
        (speed(1.02, 0.8, 1.3), AS_GOOD, "undecided"),
        (speed(0.8, 0.7, 0.9), AS_GOOD, "does not pay"),
        (compare_waits([Wait(None, 90)] * 6, [Wait(50, 90)] * 6), AS_GOOD, "does not pay"),
        (compare_waits([Wait(None, 9)] * 6, [Wait(50, 90)] * 6), AS_GOOD, "does not pay"),
        (compare_waits([Wait(None, 90)] * 5, [Wait(50, 90)] * 5), AS_GOOD, "undecided"),
        (compare_waits([Wait(None, 90)] * 6, [Wait(None, 90)] * 6), AS_GOOD, "undecided"),
        (compare_waits([Wait(10, 90)] * 6, [Wait(None, 90)] * 6), AS_GOOD, "pays"),
        (compare_waits([Wait(10, 90)], [Wait(90, 90)]), None, "undecided"),
    ],
)
def test_it_pays_only_if_surely_faster_and_surely_not_worse(
    time: TimeToTarget | None, quality: ConfidenceInterval | None, conclusion: str
) -> None:
    made = Comparison(candidate="a", reference="b", seeds=6, time=time, quality=quality)
    assert made.conclusion == conclusion


def test_the_sentence_of_a_strategy_that_pays() -> None:
    assert said(EIGHT, 0.003, AS_GOOD) == (
        "gram-1e reaches e2e's AUC − .002 in 1/7.9 of its training time"
        " (97 %: 1/8.6 to 1/7.1, 6 seeds); AUC +.003 [−.001, +.006], as good: pays."
    )


NEVER, SLOWER = compare_waits([Wait(None, 90)] * 6, [Wait(50, 90)] * 6), speed(0.8, 0.7, 1.1)
HALF_MISSED = compare_waits([Wait(10, 90)] * 6, [Wait(80, 90)] * 3 + [Wait(None, 90)] * 3)
NEITHER = compare_waits([Wait(None, 90)] * 6, [Wait(None, 90)] * 6)
ONCE_NEVER, ONCE_ALONE, ONCE_NEITHER = (
    compare_waits([Wait(own, 90)], [Wait(other, 90)]) for own, other in ((None, 80), (10, None), (None, None))
)
ONCE, TWICE, THRICE = (compare_waits([Wait(10, 90)] * n, [Wait(79, 90)] * n) for n in (1, 2, 3))
NOT_ALIKE = "encoder dropout is .2, so single-step is not E2E"


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        (said(SLOWER, -0.001, UNCLEAR), ["in 1.25 times its training time", "[−.005, +.002]: undecided."]),
        (said(SLOWER, 0.003, AS_GOOD), ["1/1.10 to 1.43 times", "as good: undecided whether it pays."]),
        (said(EIGHT, -0.015, LOWER), ["in 1/7.9 of", "−.015 [−.021, −.009], worse: does not pay."]),
        (
            said(NEVER, -0.015, LOWER),
            [
                "gram-1e does not reach e2e's AUC − .002 within its budget",
                "budget (6 seeds: gram-1e reached it with 0, e2e with 6)",
            ],
        ),
        (
            said(HALF_MISSED, 0.003, AS_GOOD),
            [
                "in at most 1/8.5 of its",
                "(97 %: at most 1/8.0, 6 seeds: gram-1e reached it with 6, e2e with 3)",
            ],
        ),
        (
            said(NEITHER, 0.003, AS_GOOD),
            ["Neither gram-1e nor e2e reaches e2e's AUC − .002 within its budget"],
        ),
        (
            said(ONCE, 0.003, None, seeds=1),
            ["gram-1e reached", "(1 seed); AUC +.003. One seed decides nothing: run --seeds 0..5."],
        ),
        (
            said(ONCE_NEVER, -0.01, None, seeds=1),
            ["gram-1e did not reach e2e's AUC − .002 within its budget (1 seed; e2e reached it); AUC −.010."],
        ),
        (
            said(ONCE_ALONE, 0.01, None, seeds=1),
            ["gram-1e reached", "in at most 1/9.0 of its training time (1 seed; e2e did not reach it)"],
        ),
        (said(ONCE_NEITHER, 0.01, None, seeds=1), ["Neither gram-1e nor e2e reached", "budget (1 seed)"]),
        (
            said(TWICE, 0.003, None, seeds=2),
            ["(2 seeds); AUC +.003. 2 seeds are too few for intervals: run --seeds 0..5."],
        ),
        (
            said(THRICE, 0.003, interval(0.001, 0.005, 3), seeds=3),
            [
                "(3 seeds); AUC +.003 [+.001, +.005], better.",
                " 3 seeds are too few for an interval of the time: run --seeds 0..5.",
            ],
        ),
        (
            said(None, None, None),
            ["not compared by their time to e2e's AUC", "AUC was not compared: undecided."],
        ),
        (said(EIGHT, 0.003, AS_GOOD, target="AUC .680"), ["gram-1e reaches AUC .680 in"]),
        (
            said(None, None, None, not_comparable=NOT_ALIKE),
            [f"gram-1e against e2e is not comparable: {NOT_ALIKE}."],
        ),
    ],
)
def test_other_sentences_say_what_is_missing(sentence: str, parts: list[str]) -> None:
    for part in parts:
        assert part in sentence
    assert sentence.endswith(".")
    assert "inf" not in sentence
    assert "nan" not in sentence


def test_the_two_spreads_of_a_cost_are_never_mixed() -> None:
    made = Comparison(candidate="gram-1e", reference="e2e", seeds=1)
    within = ConfidenceInterval(math.log(7.86), math.log(7.94), 0.95, 60, "anytime t")
    between = ConfidenceInterval(math.log(7.4), math.log(8.4), 0.95, 3, "t")
    start = "gram-1e trains 7.9 times the samples/s of e2e"
    assert cost_sentence(made, math.log(7.9), within, None) == (
        f"{start}, ± 0.5 % within this run. Processes were not repeated: add seeds or --repeats 3."
    )
    assert cost_sentence(made, math.log(7.9), None, None, 1, 3) == (
        f"{start} (a race of 3 blocks: an interval within this run takes 8)."
        " Processes were not repeated: add seeds or --repeats 3."
    )
    assert cost_sentence(made, math.log(7.9), None, None, 2) == (
        f"{start}. 2 processes of each are too few: add seeds or --repeats 3."
    )
    assert cost_sentence(made, math.log(7.9), within, between) == (
        f"{start}, ± 0.5 % within this run; 7.4 to 8.4 between processes (95 % interval, 3 of each)."
    )


def test_numbers_are_written_shortly() -> None:
    assert [signed(x) for x in (0.003, -0.0011, 0.0, 10.003)] == ["+.003", "−.001", "+.000", "+10.003"]
    assert [short(x) for x in (1.017, 7.94, 1234.5)] == ["1.02", "7.9", "1,234"]
    assert [share_of_time(math.log(x)) for x in (8, 0.5)] == ["1/8.0", "2.00 times"]
