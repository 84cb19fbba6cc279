"""Generated data: MIND's format to the letter, the same bytes every time, learnable from words only."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from grambench.config.data import SyntheticData
from grambench.data.draws import Stream, WeightedIndex
from grambench.domains.news import synthetic
from grambench.domains.news.synthetic import LIKE, TRAIN_DAYS, generate, plant
from grambench.domains.news.verify import verify
from grambench.errors import DataError

Scores = npt.NDArray[np.float64]
Score = Callable[[list[str], list[str]], Sequence[float] | Scores]

SPEC = SyntheticData(dev_impressions=2000)
GOLDEN = "33cab22d1b815cc8664100657ece60bbef203ad2901e2a468d6a406afb0c92f8"


@dataclass
class Split:
    news: dict[str, list[str]]
    impressions: list[list[str]]

    def candidates(self) -> list[list[str]]:
        return [row[4].split(" ") for row in self.impressions]


def read(folder: Path) -> Split:
    def rows(name: str) -> list[list[str]]:
        text = (folder / name).read_bytes().decode("ascii")
        assert text.endswith("\n")
        return [line.split("\t") for line in text[:-1].split("\n")]

    return Split({row[0]: row for row in rows("news.tsv")}, rows("behaviors.tsv"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("synthetic") / "data"
    generate(SPEC, target)
    return target


@pytest.fixture(scope="module")
def train(folder: Path) -> Split:
    return read(folder / "train")


@pytest.fixture(scope="module")
def dev(folder: Path) -> Split:
    return read(folder / "dev")


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert [path.relative_to(folder).as_posix() for path in files] == [
        f"{split}/{table}.tsv" for split in ("dev", "train") for table in ("behaviors", "news")
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_same_spec_same_bytes_on_any_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SyntheticData(news=300, users=100, train_impressions=200, dev_impressions=50)
    generate(spec, tmp_path / "a")
    assert digest(tmp_path / "a") == GOLDEN
    monkeypatch.setattr(synthetic, "_CHUNK", 7)
    generate(spec, tmp_path / "chunked")
    assert digest(tmp_path / "chunked") == digest(tmp_path / "a")
    generate(spec.model_copy(update={"seed": 1}), tmp_path / "b")
    assert digest(tmp_path / "b") != digest(tmp_path / "a")


def test_format_is_minds(train: Split, dev: Split) -> None:
    for split in (train, dev):
        for row in split.news.values():
            assert len(row) == 8
            assert re.fullmatch(r"N\d+", row[0])
            assert re.fullmatch(r"topic\d\d", row[1])
            assert re.fullmatch(rf"{row[1]}[a-d]", row[2])
            assert 4 <= len(row[3].split(" ")) <= 25
            assert row[3][0].isupper()
            assert row[6:] == ["[]", "[]"]
        for number, row in enumerate(split.impressions, start=1):
            assert len(row) == 5
            assert row[0] == str(number)
            assert re.fullmatch(r"U\d+", row[1])
            assert re.fullmatch(r"(N\d+( N\d+)*)?", row[3])
            assert re.fullmatch(r"N\d+-[01]( N\d+-[01])+", row[4])


def test_impressions_have_both_classes_and_no_item_twice(train: Split, dev: Split) -> None:
    for split in (train, dev):
        for tokens in split.candidates():
            assert {token[-1] for token in tokens} == {"0", "1"}
            assert len({token[:-2] for token in tokens}) == len(tokens)
        for row in split.impressions:
            history = row[3].split(" ")
            assert len(set(history)) == len(history)


def test_six_days_then_one(train: Split, dev: Split) -> None:
    def days(split: Split) -> Counter[str]:
        times = [datetime.strptime(row[2], "%m/%d/%Y %I:%M:%S %p") for row in split.impressions]
        return Counter(f"{time:%m/%d}" for time in times)

    assert sorted(days(train)) == ["11/09", "11/10", "11/11", "11/12", "11/13", "11/14"]
    assert sorted(days(dev)) == ["11/15"]
    assert synthetic._time(2, 9 * 3600 + 5 * 60 + 8) == "11/11/2019 9:05:08 AM"
    assert synthetic._time(0, 0) == "11/9/2019 12:00:00 AM"
    assert synthetic._time(6, 86_399) == "11/15/2019 11:59:59 PM"


def test_every_id_resolves_in_its_own_split(folder: Path) -> None:
    checked = verify(folder)
    assert checked.unknown_ids.occurrences == 0
    for split in checked.splits.values():
        assert split.foreign_history.occurrences == split.foreign_candidates.occurrences == 0
        assert split.one_class_impressions == split.missing_times.occurrences == 0
    assert checked.news == SPEC.news
    assert checked.repeated_news_other_text.occurrences == 0


def test_dev_repeats_most_items_and_brings_cold_ones(train: Split, dev: Split) -> None:
    cold = dev.news.keys() - train.news.keys()
    assert len(cold) == SPEC.news // 10
    assert 0.5 < len(dev.news.keys() & train.news.keys()) / len(train.news) < 1
    shown = [token[:-2] for tokens in dev.candidates() for token in tokens]
    assert 0.3 < np.mean([item in cold for item in shown]) < 0.7
    assert not any(item in cold for row in dev.impressions for item in row[3].split())


def test_lengths_follow_the_measured_laws(tmp_path: Path) -> None:
    spec = LIKE["mind-small"].model_copy(
        update={"users": 4000, "train_impressions": 8000, "dev_impressions": 10}
    )
    generate(spec, tmp_path / "data")
    train = read(tmp_path / "data" / "train")
    assert len(train.news) == 51_282
    histories = np.array([len(row[3].split()) for row in train.impressions])
    assert histories.mean() == pytest.approx(32, rel=0.06)
    assert np.median(histories) == pytest.approx(18, abs=2)
    assert histories.max() > 300
    assert 0.01 < np.mean(histories == 0) < 0.04
    candidates = np.array([len(tokens) for tokens in train.candidates()])
    assert candidates.mean() == pytest.approx(37.9, rel=0.04)
    assert candidates.min() == 2
    clicks = np.array([sum(token.endswith("-1") for token in tokens) for tokens in train.candidates()])
    assert clicks.mean() == pytest.approx(1.5, abs=0.1)
    assert np.mean(clicks == 1) > 0.7
    titles = np.array([len(row[3].split()) for row in train.news.values()])
    abstracts = np.array([len(row[4].split()) for row in train.news.values()])
    assert titles.mean() == pytest.approx(11.5, abs=0.3)
    assert abstracts.mean() == pytest.approx(35, abs=2)


def test_popularity_is_skewed_as_in_mind() -> None:
    popularity = np.sort(plant(SPEC).popularity)[::-1]
    share = np.cumsum(popularity) / popularity.sum()
    assert share[SPEC.news // 20] == pytest.approx(0.65, abs=0.1)


def auc_of(labels: npt.NDArray[np.bool_], scores: Scores) -> float:
    gap = scores[labels][:, None] - scores[~labels][None, :]
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))


def mean_auc(split: Split, score: Score) -> float:
    """Mean over impressions of the AUC of `score(row, items)`."""
    values = []
    for row, tokens in zip(split.impressions, split.candidates(), strict=True):
        labels = np.array([token.endswith("-1") for token in tokens])
        values.append(
            auc_of(labels, np.asarray(score(row, [token[:-2] for token in tokens]), dtype=np.float64))
        )
    return float(np.mean(values))


class BagOfWords:
    """Cosine of TF-IDF titles with the history's sum: what words alone tell, nothing learnt."""

    def __init__(self, news: dict[str, list[str]]) -> None:
        bags = {item: Counter(row[3].lower().split()) for item, row in news.items()}
        documents = Counter(word for bag in bags.values() for word in bag)
        self.vectors = {item: self._unit(bag, documents, len(news)) for item, bag in bags.items()}

    @staticmethod
    def _unit(bag: Counter[str], documents: Counter[str], total: int) -> dict[str, float]:
        weights = {word: count * math.log(total / documents[word]) for word, count in bag.items()}
        norm = math.sqrt(sum(weight**2 for weight in weights.values()))
        return {word: weight / norm for word, weight in weights.items()}

    def __call__(self, row: list[str], items: list[str]) -> list[float]:
        profile: Counter[str] = Counter()
        for item in row[3].split():
            for word, weight in self.vectors[item].items():
                profile[word] += weight  # type: ignore[assignment]
        return [sum(weight * profile[word] for word, weight in self.vectors[item].items()) for item in items]


class Oracle:
    """Knows every user's taste and every item's topic."""

    def __init__(self, spec: SyntheticData) -> None:
        self.world = plant(spec)

    def __call__(self, row: list[str], items: list[str]) -> Scores:
        topics = self.world.topic[[int(item[1:]) - 1 for item in items]]
        return self.world.affinity[int(row[1][1:]) - 1, topics]


def test_taste_can_be_read_from_words(train: Split, dev: Split) -> None:
    assert 0.75 < mean_auc(dev, Oracle(SPEC)) < 0.82
    assert 0.66 < mean_auc(dev, BagOfWords(train.news | dev.news)) < 0.74


def test_popularity_is_no_short_cut(train: Split, dev: Split) -> None:
    shown = Counter(token[:-2] for tokens in train.candidates() for token in tokens)
    clicked = Counter(token[:-2] for tokens in train.candidates() for token in tokens if token.endswith("-1"))
    read_before = Counter(item for row in train.impressions for item in row[3].split())
    planted = plant(SPEC).popularity
    scorers = {
        "clicks": lambda _, items: [clicked[item] for item in items],
        "click rate": lambda _, items: [(clicked[item] + 1) / (shown[item] + 20) for item in items],
        "history": lambda _, items: [read_before[item] for item in items],
        "planted": lambda _, items: [planted[int(item[1:]) - 1] for item in items],
        "position": lambda _, items: -np.arange(len(items)),
    }
    for name, scorer in scorers.items():
        assert 0.45 < mean_auc(dev, scorer) < 0.56, name


def test_without_taste_nothing_can_be_learnt(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"taste": 0.0})
    generate(spec, tmp_path / "data")
    train, dev = read(tmp_path / "data/train"), read(tmp_path / "data/dev")
    assert mean_auc(dev, Oracle(spec)) == pytest.approx(0.5, abs=0.03)
    assert mean_auc(dev, BagOfWords(train.news | dev.news)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "extreme",
    [
        {"news": 50, "users": 10, "train_impressions": 10, "dev_impressions": 10},
        {"news": 50, "topics": 200, "candidates_mean": 300.0, "history_mean": 400.0, "taste": 20.0},
        {"news": 60, "topics": 2, "candidates_mean": 2.0, "history_mean": 0.1},
    ],
)
def test_extreme_specs_stay_valid(tmp_path: Path, extreme: dict[str, float]) -> None:
    spec = SyntheticData.model_validate({"users": 50, "train_impressions": 300} | extreme)
    generate(spec, tmp_path / "data")
    for split in ("train", "dev"):
        read_split = read(tmp_path / "data" / split)
        for tokens in read_split.candidates():
            assert {token[-1] for token in tokens} == {"0", "1"}
            assert {token[:-2] for token in tokens} <= read_split.news.keys()


def test_folder_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("disk")

    monkeypatch.setattr(synthetic, "_news_rows", fail)
    with pytest.raises(RuntimeError, match="disk"):
        generate(SPEC, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        generate(SPEC, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_wheel_follows_its_weights() -> None:
    wheel = WeightedIndex([0.0, 0.5, 0.0, 1.0, 0.5, 0.0])
    uniform = Stream(0, "test").uniform(40_000)
    share = np.bincount(wheel.draw(uniform), minlength=6) / len(uniform)
    assert share == pytest.approx([0, 0.25, 0, 0.5, 0.25, 0], abs=0.01)
    first = np.full(len(uniform), 2)
    others = wheel.draw_other(uniform, first, first + 4, first + 1)
    assert set(others.tolist()) == {4}
    assert wheel.draw(np.array([0.0, 1 - 2**-53])).tolist() == [1, 4]


def test_world_has_archive_fresh_and_cold_items() -> None:
    born = plant(SPEC).born
    assert np.mean(born == -1) == pytest.approx(0.54, abs=0.01)
    assert set(born.tolist()) == set(range(-1, TRAIN_DAYS + 1))
