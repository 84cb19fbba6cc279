"""The self-grade: every check can be kept and lost, and says how to win its mark back."""

import math

import pytest

from grambench.analysis.checks import CHECKS, Check
from grambench.analysis.grade import grade, unidentified_changes

GOOD = {check.fact: check.limit for check in CHECKS}


def bad(check: Check) -> float:
    return check.limit - 1 if check.relation == "at least" else check.limit + 1


def test_codes_and_facts_are_unique() -> None:
    assert len({check.code for check in CHECKS}) == len(GOOD) == len(CHECKS)


def test_a_run_at_all_limits_keeps_all_marks() -> None:
    made = grade(GOOD)
    assert made.headline() == f"{len(CHECKS)} of {len(CHECKS)} marks."
    assert not made.lost


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_lost_mark_spoils_its_claim_alone_and_says_what_to_do(check: Check) -> None:
    made = grade({**GOOD, check.fact: bad(check)})
    (lost,) = made.lost
    assert (lost.code, lost.value, lost.mend) == (check.code, bad(check), check.mend)
    assert made.headline() == f"{len(CHECKS) - 1} of {len(CHECKS)} marks; lost: 1 on {check.spoils}."
    for sentence in (lost.message, lost.mend):
        assert sentence[0].isupper() or sentence[0] == "1"
        assert sentence.endswith(".")
        assert "{" not in sentence


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_was_not_measured_loses_the_mark(value: float | None) -> None:
    (lost,) = grade({**GOOD, "throttled_share": value}).lost
    assert (lost.message, lost.value) == ("Throttling was not measured here.", None)
    assert len(grade({}).lost) == len(CHECKS)


def test_what_cannot_apply_leaves_the_total() -> None:
    facts = {name: value for name, value in GOOD.items() if name != "foreign_gpu_share"}
    made = grade(facts, {"foreign_gpu_share": "There is no GPU."})
    assert made.headline() == f"{len(CHECKS) - 1} of {len(CHECKS) - 1} marks."
    (mark,) = (mark for mark in made.marks if mark.outcome == "not applicable")
    assert (mark.code, mark.message) == ("foreign-gpu", "There is no GPU.")


def test_the_margin_of_a_preset_is_the_limit_of_the_resolution() -> None:
    facts = {**GOOD, "user_half_width_auc": 0.004}
    assert [mark.code for mark in grade(facts).lost] == ["resolution"]
    assert not grade(facts, limits={"resolution": 0.005}).lost


def test_counts_have_their_unit_in_the_right_number() -> None:
    (lost,) = grade({**GOOD, "seeds": 1}).lost
    assert lost.message == "With 1 seed no distribution-free interval reaches 95 %: that takes 6."
    (lost,) = grade({**GOOD, "foreign_cpu_share": 0.31}).lost
    assert lost.message == "Other programs used 31 % of the CPU."
    (lost,) = grade({**GOOD, "processes": 1}).lost
    assert lost.message.startswith("With 1 process of each strategy")


@pytest.mark.parametrize(
    ("changed", "digest", "expected"), [(0, None, 0), (3, "abc", 3), (None, "abc", 0), (None, None, None)]
)
def test_an_installed_package_counts_by_its_record(
    changed: int | None, digest: str | None, expected: int | None
) -> None:
    assert unidentified_changes(changed, digest) == expected
