"""Generated data in MIND's format, with planted preferences: no download, no licence, any size.

Every item has one topic, expressed by its words; every user has a preference for one to three topics.
Histories follow popularity x exp(taste x affinity) over the items of the preceding weeks, clicks follow
softmax(taste x (affinity + quality)) within an impression. A model that reads topics from words and
matches them with the history beats chance; one that only knows popularity does not. Distributions marked
"measured" are those of 5,000 impressions of MIND-small.

Shapes: U users, N news, K topics, I impressions, D days.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grambench.config.data import SyntheticData
from grambench.data.draws import Floats, Ints, Stream, WeightedIndex, first_distinct, starts
from grambench.domains.news.wording import write_texts
from grambench.fs import whole_folder

Flags = npt.NDArray[np.bool_]

LIKE: dict[str, SyntheticData] = {
    "mind-small": SyntheticData(
        news=56_980, users=50_000, train_impressions=156_965, dev_impressions=73_152,
        history_mean=32.0, candidates_mean=37.9,
    ),
    "mind-demo": SyntheticData(
        news=29_711, users=5_000, train_impressions=22_034, dev_impressions=7_538,
        history_mean=32.0, candidates_mean=37.9,
    ),
}  # fmt: skip
"""Approximate sizes of the real data sets; `mind-small` has 51,282 train news, like the real one."""

TRAIN_DAYS = 6
_DAY_WEIGHTS = (439, 490, 1109, 1020, 974, 968)  # measured, 11/9/2019 to 11/14/2019
_ARCHIVE_SHARE, _COLD_SHARE = 0.54, 0.1  # news before day 0; news first seen on the dev day
_FRESHNESS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.05, 0.05)  # weight of a candidate by its age in days
_ARCHIVE_FRESHNESS = 0.04
_POPULARITY_OFFSET, _POPULARITY_EXPONENT = 0.01, 1.45  # (rank share + offset)^-exponent, measured
_TASTE_NOISE, _QUALITY = 0.2, 0.1  # ranges of uniform noise, in units of affinity
_QUANTILES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_HISTORY_LENGTHS = (0, 0, 2, 4, 7, 18, 40, 76, 111, 201, 351, 425)  # measured
_EXTRA_CANDIDATES = (0, 0, 0, 2, 8, 22, 50, 91, 118, 157, 258, 281)  # measured, beyond the first two
_CLICKS = (3623, 824, 294, 118, 65, 32, 16, 5, 10, 4, 2, 3)  # measured: 1, 2, … clicks
_CHUNK = 20_000


@dataclass(frozen=True)
class World:
    """The planted parameters: used by `generate`, and as ground truth in tests."""

    topic: Ints
    """[N] topic of each item."""
    popularity: Floats
    """[N] in (0, 1]."""
    born: Ints
    """[N] day of publication; -1: before day 0; `TRAIN_DAYS`: first seen in dev."""
    quality: Floats
    """[N] attractiveness to all users, in units of affinity."""
    affinity: Floats
    """[U, K] 1 to 1.6 for a user's one to three topics, within 0.1 of 0 for the others."""


def plant(spec: SyntheticData) -> World:
    """Draw items and users; the same `spec` gives the same result."""
    topics, news, users = spec.topics, spec.news, spec.users
    topic_index = WeightedIndex((np.arange(topics) + 4.0) ** -0.5)
    topic_N = topic_index.draw(Stream(spec.seed, "topic").uniform(news))
    rank_N = np.argsort(np.argsort(Stream(spec.seed, "popularity").uniform(news), kind="stable"))
    popularity_N = (rank_N / news / _POPULARITY_OFFSET + 1.0) ** -_POPULARITY_EXPONENT
    order_N = np.argsort(np.argsort(Stream(spec.seed, "birth").uniform(news), kind="stable")) / news
    fresh_N = (order_N - _ARCHIVE_SHARE) / (1 - _ARCHIVE_SHARE - _COLD_SHARE) * TRAIN_DAYS
    born_N = np.clip(np.floor(fresh_N), -1, TRAIN_DAYS).astype(np.int64)
    quality_N = (Stream(spec.seed, "quality").uniform(news) - 0.5) * _QUALITY

    stream = Stream(spec.seed, "taste")
    kinds_U = 1 + WeightedIndex([0.2, 0.3, 0.5]).draw(stream.uniform(users))
    chosen_U3 = (stream.uniform(users * 3) * topics).astype(np.int64).reshape(users, 3)
    weight_U3 = 1.0 + 0.6 * stream.uniform(users * 3).reshape(users, 3)
    weight_U3 *= np.arange(3) < kinds_U[:, None]
    noise_UK = Stream(spec.seed, "taste noise").uniform(users * topics).reshape(users, topics)
    affinity_UK = (noise_UK - 0.5) * _TASTE_NOISE
    np.maximum.at(affinity_UK, (np.arange(users)[:, None], chosen_U3), weight_U3)
    return World(topic_N, popularity_N, born_N, quality_N, affinity_UK)


def generate(spec: SyntheticData, out_dir: Path) -> None:
    """Write `out_dir/{train,dev}/{news,behaviors}.tsv`; `out_dir` appears only once all are complete.

    The dev split is the day after train: its news.tsv omits some items of train that dev does not show, and
    adds the items published that day. Times: 11/9/2019 to 11/14/2019, dev 11/15/2019.

    Args:
        spec: sizes and distributions. Nine tenths of `spec.news` are in train. If the catalogue is small
            for the requested means, histories and impressions are shorter, since no item occurs twice in
            one of them.
        out_dir: created; may exist only if empty.

    Raises:
        DataError: `out_dir` is not empty.
    """
    with whole_folder(out_dir) as temporary:
        world = plant(spec)
        histories = _Histories(spec, world)
        rows = _news_rows(spec, world)
        for split, count in (("train", spec.train_impressions), ("dev", spec.dev_impressions)):
            (temporary / split).mkdir()
            seen_N = histories.seen.copy()
            with (temporary / split / "behaviors.tsv").open("w", newline="\n") as file:
                for lines in _impression_rows(spec, world, histories, split, count, seen_N):
                    file.writelines(lines)
            shown_N = _catalogue(spec, world, split, seen_N)
            with (temporary / split / "news.tsv").open("w", newline="\n") as file:
                file.writelines(row for row, shown in zip(rows, shown_N.tolist(), strict=True) if shown)


def _catalogue(spec: SyntheticData, world: World, split: str, seen_N: Flags) -> Flags:
    """Mask of the items listed in the split's news.tsv."""
    if split == "train":
        return np.asarray(world.born < TRAIN_DAYS)
    kept_N = Stream(spec.seed, "catalogue").uniform(spec.news) >= 0.3
    shown_N: Flags = seen_N | kept_N | (world.born == TRAIN_DAYS)
    return shown_N


def _news_rows(spec: SyntheticData, world: World) -> list[str]:
    """Rows of news.tsv for all items, ids N1, N2, …; links use a reserved domain (RFC 2606)."""
    text = write_texts(world.topic, spec.topics, spec.seed)
    return [
        f"N{item}\ttopic{topic + 1:02d}\ttopic{topic + 1:02d}{'abcd'[subtopic]}\t{title}\t{abstract}"
        f"\thttps://news.example/N{item}.html\t[]\t[]\n"
        for item, (topic, subtopic, title, abstract) in enumerate(
            zip(
                world.topic.tolist(), text.subtopic.tolist(), text.titles, text.abstracts,
                strict=True,
            ),
            start=1,
        )
    ]  # fmt: skip


def _lengths(quantiles: tuple[int, ...], mean: float, stream: Stream, count: int) -> Ints:
    """Heavy-tailed integers with the given mean, shaped by a quantile table."""
    at, values = np.asarray(_QUANTILES), np.asarray(quantiles, dtype=np.float64)
    table_mean = float((np.diff(at) * (values[1:] + values[:-1]) / 2).sum())
    drawn = np.interp(stream.uniform(count), at, values)
    return np.rint(drawn * (mean / table_mean)).astype(np.int64)


def _draws(wanted: Ints, news: int) -> Ints:
    """Draws needed for the wanted numbers of distinct items: more in small catalogues, where items repeat."""
    return wanted * (2 if news > 20_000 else 6)


class _Histories:
    """One history per user: earlier clicks on items published before day 0."""

    def __init__(self, spec: SyntheticData, world: World) -> None:
        stream = Stream(spec.seed, "history")
        wanted_U = _lengths(_HISTORY_LENGTHS, spec.history_mean, stream, spec.users)
        rows = np.repeat(np.arange(spec.users), _draws(wanted_U, spec.news))
        by_topic = np.argsort(world.topic, kind="stable")
        weight_N = np.where(world.born < 0, world.popularity, 0.0)
        topic_weight_K = np.bincount(world.topic[weight_N > 0], minlength=spec.topics)
        weight_UK = topic_weight_K * np.exp(
            spec.taste * (world.affinity - world.affinity.max(axis=1, keepdims=True))
        )
        weight_UK /= weight_UK.max(axis=1, keepdims=True)
        width = spec.topics
        drawn = WeightedIndex(weight_UK.ravel()).draw_slice(
            stream.uniform(len(rows)), rows * width, (rows + 1) * width
        )
        edges_K = np.concatenate([[0], np.cumsum(np.bincount(world.topic, minlength=width))])
        topic = drawn - rows * width
        place = WeightedIndex(weight_N[by_topic]).draw_slice(
            stream.uniform(len(rows)), edges_K[topic], edges_K[topic + 1]
        )
        items, lengths_U = first_distinct(rows, by_topic[place], wanted_U, spec.news)
        self.seen = np.bincount(items, minlength=spec.news) > 0
        names = [f"N{item + 1}" for item in items.tolist()]
        self.texts = [
            " ".join(names[start : start + length])
            for start, length in zip(starts(lengths_U).tolist(), lengths_U.tolist(), strict=True)
        ]


def _impression_rows(
    spec: SyntheticData,
    world: World,
    histories: _Histories,
    split: str,
    count: int,
    seen_N: Flags,
) -> Iterator[list[str]]:
    """Rows of behaviors.tsv in chunks; marks every candidate in `seen_N`."""
    news = spec.news
    streams = {
        name: Stream(spec.seed, f"{split} {name}")
        for name in ("user", "day", "second", "size", "candidate", "second candidate", "clicks", "click")
    }
    users = WeightedIndex((np.arange(spec.users) / spec.users + 0.3) ** -1 * 0.3)
    days = WeightedIndex(np.asarray(_DAY_WEIGHTS) / max(_DAY_WEIGHTS))
    pool = WeightedIndex(_candidate_weights(world).ravel())
    clicks = WeightedIndex(np.asarray(_CLICKS) / sum(_CLICKS))
    tokens = [f"N{item + 1}-{label}" for item in range(news) for label in (0, 1)]
    for begin in range(0, count, _CHUNK):
        size = min(_CHUNK, count - begin)
        user_I = users.draw(streams["user"].uniform(size))
        day_I = days.draw(streams["day"].uniform(size))
        if split == "dev":
            day_I = np.full(size, TRAIN_DAYS)
        wanted_I = 2 + _lengths(_EXTRA_CANDIDATES, spec.candidates_mean - 2, streams["size"], size)
        items, size_I = _candidates(pool, day_I, wanted_I, news, streams)
        seen_N[items] = True
        rows = np.repeat(np.arange(size), size_I)
        start_I = starts(size_I)
        affinity = world.affinity[user_I[rows], world.topic[items]]
        logit = spec.taste * (affinity + world.quality[items])
        wished_I = np.minimum(1 + clicks.draw(streams["clicks"].uniform(size)), size_I - 1)
        label = _clicked(logit, rows, wished_I, streams["click"])
        shown = [tokens[code] for code in (2 * items + label).tolist()]
        second_I = (streams["second"].uniform(size) * 86_400).astype(np.int64)
        columns = (user_I, day_I, second_I, start_I, start_I + size_I)
        yield [
            f"{number}\tU{user + 1}\t{_time(day, second)}\t{histories.texts[user]}"
            f"\t{' '.join(shown[start:end])}\n"
            for number, (user, day, second, start, end) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True), start=begin + 1
            )
        ]


def _candidate_weights(world: World) -> Floats:
    """Weight of each item as a candidate on each day [D, N], by popularity and age; 0 before publication."""
    age_DN = np.arange(TRAIN_DAYS + 1)[:, None] - world.born
    fresh_DN = np.where(age_DN < 0, 0.0, np.asarray(_FRESHNESS)[np.clip(age_DN, 0, TRAIN_DAYS)])
    fresh_DN[:, world.born < 0] = _ARCHIVE_FRESHNESS
    return np.asarray(fresh_DN * world.popularity, dtype=np.float64)


def _candidates(
    pool: WeightedIndex, day_I: Ints, wanted_I: Ints, news: int, streams: dict[str, Stream]
) -> tuple[Ints, Ints]:
    """Distinct items for each impression, at least two: flat items, and the number per impression."""
    draws_I = _draws(wanted_I, news)
    rows = np.repeat(np.arange(len(day_I)), draws_I)
    first, last = day_I[rows] * news, (day_I[rows] + 1) * news
    items = pool.draw_slice(streams["candidate"].uniform(len(rows)), first, last)
    lead = starts(draws_I)
    second = pool.draw_other(
        streams["second candidate"].uniform(len(lead)), first[lead], last[lead], items[lead]
    )
    items[lead + 1] = second
    return first_distinct(rows, items - first, wanted_I, news)


def _clicked(logit: Floats, rows: Ints, wished_I: Ints, stream: Stream) -> Ints:
    """1 for the `wished_I[r]` candidates of row r drawn without replacement by exp(logit), else 0."""
    arrival = np.log(-np.log(1.0 - stream.uniform(len(rows)))) - logit
    order = np.lexsort((arrival, rows))
    place = np.arange(len(rows)) - starts(np.bincount(rows))[rows]
    label = np.zeros(len(rows), dtype=np.int64)
    label[order] = place < wished_I[rows]
    return label


def _time(day: int, second: int) -> str:
    hour, minute = second // 3600, second // 60 % 60
    noon = "AM" if hour < 12 else "PM"
    return f"11/{9 + day}/2019 {(hour + 11) % 12 + 1}:{minute:02d}:{second % 60:02d} {noon}"
