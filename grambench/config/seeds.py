"""Seeds as text: `0,1,2`, and ranges with both ends, `0..5`."""

import re
from collections.abc import Iterator

MOST = 1000
"""Seeds of a run that are written as text: a typing error must not plan a million trials."""
_PART = re.compile(r"\s*(\d{1,10})(?:\s*\.\.\s*(\d{1,10}))?\s*", re.ASCII)


def seeds_of(text: str) -> tuple[int, ...]:
    """The seeds of `0..5,9`, in the order in which they are written.

    Raises:
        ValueError: a part is neither a seed nor a range, a range runs backwards, or they are more than 1,000.
    """
    ranges = list(_ranges(text.strip().removeprefix("[").removesuffix("]")))
    count = sum(map(len, ranges))
    if count > MOST:
        raise ValueError(f"these are {count:,} seeds, and a run has at most {MOST:,}; name fewer")
    return tuple(seed for seeds in ranges for seed in seeds)


def _ranges(text: str) -> Iterator[range]:
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(
                f"{part.strip()!r} is neither a seed nor a range; write 0,1,2 or 0..5, both ends included"
            )
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ValueError(f"the range {part.strip()!r} runs backwards; write {last}..{first}")
        yield range(first, last + 1)
