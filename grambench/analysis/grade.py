"""The self-grade of a run: which of its claims its own conditions support, and what would mend the others."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grambench.analysis.checks import CHECKS, Check, Claim

Outcome = Literal["kept", "lost", "not applicable"]


@dataclass(frozen=True, slots=True)
class Mark:
    """The outcome of one check."""

    code: str
    outcome: Outcome
    spoils: Claim
    value: float | None
    """The fact; None: not measured, or not applicable."""
    limit: float
    unit: str
    message: str = ""
    """Why it was lost or does not apply; empty for a kept one."""
    mend: str = ""
    """What to do about a lost one."""


@dataclass(frozen=True, slots=True)
class Grade:
    """All marks, in the order of the checks."""

    marks: tuple[Mark, ...]

    @property
    def lost(self) -> list[Mark]:
        """The marks that were lost."""
        return [mark for mark in self.marks if mark.outcome == "lost"]

    @property
    def total(self) -> int:
        """Marks that apply."""
        return sum(mark.outcome != "not applicable" for mark in self.marks)

    @property
    def kept(self) -> int:
        """Marks that were kept."""
        return self.total - len(self.lost)

    def headline(self) -> str:
        """`17 of 20 marks; lost: 1 on cost, 2 on quality.`"""
        lost = Counter(mark.spoils for mark in self.lost)
        parts = ", ".join(f"{number} on {claim}" for claim, number in lost.items())
        return f"{self.kept} of {self.total} marks" + (f"; lost: {parts}." if parts else ".")


def grade(
    facts: Mapping[str, float | None],
    not_applicable: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
) -> Grade:
    """Check the facts of a run.

    Args:
        facts: numbers by the names in `CHECKS`; absent, None or NaN: not measured, which loses the mark.
        not_applicable: of a fact that cannot exist here (no GPU, no checkout), why; its mark does not count.
        limits: by code, limits other than those in `CHECKS`, such as the preset's margin for `resolution`.
    """
    reasons, other_limits = not_applicable or {}, limits or {}
    marks = (
        _mark(
            check, facts.get(check.fact), reasons.get(check.fact), other_limits.get(check.code, check.limit)
        )
        for check in CHECKS
    )
    return Grade(tuple(marks))


def unidentified_changes(changed_files: int | None, record_digest: str | None) -> int | None:
    """The fact of the mark `source`: how many files differ from the commit or release that the report names.

    Args:
        changed_files: of the git checkout that grambench runs from; None: it runs from none.
        record_digest: of an installed package, the digest of its RECORD: with the version it identifies it.

    Returns:
        None where nothing identifies the code.
    """
    return changed_files if changed_files is not None else 0 if record_digest else None


def _mark(check: Check, value: float | None, reason: str | None, limit: float) -> Mark:
    if reason is not None:
        return Mark(check.code, "not applicable", check.spoils, None, limit, check.unit, reason)
    if value is None or math.isnan(value):
        message = f"{check.subject} was not measured here."
        return Mark(check.code, "lost", check.spoils, None, limit, check.unit, message, check.mend)
    if check.holds(value, limit):
        return Mark(check.code, "kept", check.spoils, value, limit, check.unit)
    percent, count = f"{100 * value:.0f} %", _count(value, check.unit)
    message = check.lost.format(value=value, limit=limit, percent=percent, count=count)
    return Mark(check.code, "lost", check.spoils, value, limit, check.unit, message, check.mend)


def _count(value: float, unit: str) -> str:
    singular = {"processes": "process"}.get(unit, unit.removesuffix("s"))
    return f"{value:.0f} {singular if value == 1 else unit}"
