"""What the ranks of a trial tell of themselves: rates, waiting, the slowest. Pure functions of the state."""

from collections.abc import Iterable
from statistics import median

from grambench.events.state import GroupState, RankState


def items_per_second(rank: RankState) -> float | None:
    """Item encodings per training second between its two newest samples."""
    return _per_second(rank, "items_encoded")


def waiting_share(ranks: Iterable[RankState]) -> float | None:
    """Of the training time between their two newest samples, what they spent in messages; 0 to 1."""
    shares = [share for rank in ranks if (share := _per_second(rank, "wait_s")) is not None]
    return sum(shares) / len(shares) if shares else None


def waiting_share_so_far(ranks: Iterable[RankState]) -> float | None:
    """The same since their processes started."""
    samples = [rank.sample for rank in ranks if rank.sample is not None]
    waited = [sample.wait_s for sample in samples if sample.wait_s is not None]
    trained_s = sum(sample.train_s for sample in samples)
    return sum(waited) / trained_s if waited and len(waited) == len(samples) and trained_s > 0 else None


def slowness(group: GroupState) -> list[tuple[int, float]]:
    """Ranks from the slowest on, and how much longer each computes than the median rank, a ratio.

    What a rank computes is what it does not wait. Empty where waiting is not measured.
    """
    shares = {number: waiting_share([rank]) for number, rank in group.ranks.items()}
    computes = {number: 1 - share for number, share in shares.items() if share is not None}
    middle = median(computes.values()) if computes else 0.0
    if middle <= 0:
        return []
    return sorted(
        ((n, share / middle - 1) for n, share in computes.items()), key=lambda row: (-row[1], row[0])
    )


def received_per_step(group: GroupState) -> float | None:
    """Bytes that a rank receives for a CF step, the mean over ranks and steps."""
    samples = [rank.sample for rank in group.ranks.values() if rank.sample is not None]
    if not samples or group.steps <= 0:
        return None
    return sum(sample.received_bytes for sample in samples) / len(samples) / group.steps


def reuse_ratios(group: GroupState) -> tuple[float | None, float | None]:
    """Item appearances per distinct item of a batch: within the part of one rank, and in the whole batch."""
    samples = [rank.sample for rank in group.ranks.values() if rank.sample is not None]
    occurrences = sum(sample.part_occurrences or 0 for sample in samples)
    own = sum(sample.part_items or 0 for sample in samples)
    whole = sum(sample.batch_items or 0 for sample in samples) / max(1, len(samples))
    return occurrences / own if own > 0 else None, occurrences / whole if whole > 0 else None


def _per_second(rank: RankState, counter: str) -> float | None:
    new, old = rank.sample, rank.before
    values = [getattr(each, counter) if each is not None else 0 for each in (new, old)]
    seconds = (new.train_s if new else 0.0) - (old.train_s if old else 0.0)
    if new is None or None in values or seconds <= 0:
        return None
    return float(values[0] - values[1]) / seconds
