"""Generated answers: the same bytes every time, the stated law, difficulty that words alone tell."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score

from grambench.config.synthetic_answers import SyntheticAnswers
from grambench.domains.knowledge_tracing import synthetic
from grambench.domains.knowledge_tracing.synthetic import StudentWorld, generate_answers, plant_answers
from grambench.domains.knowledge_tracing.wording import _NEUTRAL_WORDS, GRADED_WORDS
from grambench.errors import DataError
from grambench.fs import sha256_file

SPEC = SyntheticAnswers()
GOLDEN = {
    "interactions.tsv": "4f060ba36cb89f28ab21eedf9b1ccbbe10932b087c4871c10378e0d524ee6990",
    "items.tsv": "9b79aa01d97e446d28320a09710faf73592c9589d81715efd65c98285a8d0fa9",
}


@dataclass
class Tables:
    texts: list[str]
    answers: list[tuple[int, int, int, int]]
    """(user, item, correct, time) of each row; users and items from 0."""

    def column(self, place: int) -> npt.NDArray[np.int64]:
        return np.array([answer[place] for answer in self.answers])


def rows(path: Path) -> list[list[str]]:
    text = path.read_bytes().decode("ascii")
    assert text.endswith("\n")
    return [line.split("\t") for line in text[:-1].split("\n")]


def read(folder: Path) -> Tables:
    """Both tables, by the letter of their format."""
    assert sorted(path.name for path in folder.iterdir()) == ["interactions.tsv", "items.tsv"]
    header, *items = rows(folder / "items.tsv")
    assert header == ["id", "text"]
    assert [id_ for id_, _ in items] == [f"I{number}" for number in range(1, len(items) + 1)]
    header, *answers = rows(folder / "interactions.tsv")
    assert header == ["user", "item", "correct", "time"]
    assert all(re.fullmatch(r"U[1-9]\d* I[1-9]\d* [01] \d+", " ".join(row)) for row in answers)
    return Tables(
        [text for _, text in items],
        [(int(u[1:]) - 1, int(i[1:]) - 1, int(correct), int(time)) for u, i, correct, time in answers],
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("answers") / "data"
    generate_answers(SPEC, folder)
    return read(folder)


@pytest.fixture(scope="module")
def world() -> StudentWorld:
    return plant_answers(SPEC)


def test_same_spec_same_bytes_on_any_machine(tmp_path: Path) -> None:
    spec = SyntheticAnswers(items=60, students=40)
    for name, each in {"first": spec, "second": spec.model_copy(update={"seed": 1})}.items():
        generate_answers(each, tmp_path / name)
    assert {path.name: sha256_file(path) for path in (tmp_path / "first").iterdir()} == GOLDEN
    for file, digest in GOLDEN.items():
        assert sha256_file(tmp_path / "second" / file) != digest


def test_sizes_are_those_asked_for(tables: Tables) -> None:
    assert len(tables.texts) == SPEC.items
    counts = Counter(user for user, *_ in tables.answers)
    assert counts.keys() == set(range(SPEC.students))
    assert len(tables.answers) == pytest.approx(SPEC.students * SPEC.answers_mean, rel=0.1)
    assert {item for _, item, *_ in tables.answers} <= set(range(SPEC.items))


def test_answers_of_a_student_are_heavy_tailed_and_never_below_five(tables: Tables) -> None:
    counts = np.array(list(Counter(user for user, *_ in tables.answers).values()))
    assert counts.min() == 5
    assert np.median(counts) < 0.7 * counts.mean()
    assert counts.max() > 10 * counts.mean()


def test_a_student_is_one_run_of_rows_with_ascending_times(tables: Tables) -> None:
    students = [[row[3] for row in group] for _, group in groupby(tables.answers, key=lambda row: row[0])]
    assert len(students) == SPEC.students
    for times in students:
        assert all(before < after for before, after in pairwise(times))
    assert min(times[0] for times in students) >= 1_577_836_800


def test_few_items_have_most_answers_and_many_are_rare(tables: Tables) -> None:
    counts = np.sort(np.bincount(tables.column(1), minlength=SPEC.items))[::-1]
    assert 0.6 < counts[: SPEC.items // 10].sum() / counts.sum() < 0.8
    assert np.mean(counts < 25) > 0.5
    assert counts[0] < 0.1 * counts.sum()


def test_answers_follow_the_stated_law(tables: Tables, world: StudentWorld) -> None:
    met: defaultdict[tuple[int, int], int] = defaultdict(int)
    logits = []
    for user, item, *_ in tables.answers:
        skill = int(world.skill_I[item])
        ability = world.ability_U[user] + world.skill_ability_US[user, skill]
        logits.append(ability + SPEC.learning * met[user, skill] - world.difficulty_I[item])
        met[user, skill] += 1
    assert world.chance_A == pytest.approx(1 / (1 + np.exp(-np.array(logits))), abs=2**-20)
    correct = tables.column(2)
    tenths = np.argsort(world.chance_A)[: len(correct) // 10 * 10].reshape(10, -1)
    assert correct[tenths].mean(axis=1) == pytest.approx(world.chance_A[tenths].mean(axis=1), abs=0.03)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"seed": 1},
        {"learning": 0.5},
        {"ability_spread": 4.0, "difficulty_spread": 3.0},
        {"ability_spread": 0.0, "difficulty_spread": 0.0, "skill_spread": 0.0, "learning": 0.0},
    ],
)
def test_about_65_of_100_answers_are_right(change: dict[str, float], tmp_path: Path) -> None:
    spec = SPEC.model_copy(update=change)
    assert plant_answers(spec).chance_A.mean() == pytest.approx(0.65, abs=0.001)
    generate_answers(spec, tmp_path / "data")
    assert read(tmp_path / "data").column(2).mean() == pytest.approx(0.65, abs=0.01)


def test_spreads_are_those_asked_for() -> None:
    spec = SPEC.model_copy(update={"items": 5000, "students": 5000, "answers_mean": 5.0})
    world = plant_answers(spec)
    assert world.difficulty_I.std() == pytest.approx(spec.difficulty_spread, rel=0.03)
    assert world.difficulty_I.mean() == pytest.approx(0, abs=0.05)
    assert world.ability_U.std() == pytest.approx(spec.ability_spread, rel=0.03)
    assert world.skill_ability_US.std() == pytest.approx(spec.skill_spread, rel=0.03)
    assert world.skill_ability_US.shape == (spec.students, spec.skills)
    assert np.ptp(np.bincount(world.skill_I, minlength=spec.skills)) <= 1


def test_oracles_find_what_was_planted(tables: Tables, world: StudentWorld) -> None:
    user, item, correct = tables.column(0), tables.column(1), tables.column(2)
    oracle = roc_auc_score(correct, world.chance_A)
    unpractised = world.ability_U[user] + world.skill_ability_US[user, world.skill_I[item]]
    unlearnt = roc_auc_score(correct, unpractised - world.difficulty_I[item])
    assert 0.79 < oracle < 0.85
    assert oracle > unlearnt + 0.003
    assert unlearnt > roc_auc_score(correct, world.ability_U[user] - world.difficulty_I[item]) + 0.01
    assert 0.65 < roc_auc_score(correct, -world.difficulty_I[item]) < 0.73
    assert 0.65 < roc_auc_score(correct, world.ability_U[user]) < 0.73


def test_without_spreads_nothing_can_be_learnt(tmp_path: Path) -> None:
    nothing = {"ability_spread": 0.0, "difficulty_spread": 0.0, "skill_spread": 0.0, "learning": 0.0}
    spec = SPEC.model_copy(update=nothing)
    assert np.ptp(plant_answers(spec).chance_A) == 0
    generate_answers(spec, tmp_path / "data")
    tables, planted = read(tmp_path / "data"), plant_answers(SPEC)
    chance_level = pytest.approx(0.5, abs=0.02)
    assert roc_auc_score(tables.column(2), planted.difficulty_I[tables.column(1)]) == chance_level
    assert roc_auc_score(tables.column(2), planted.ability_U[tables.column(0)]) == chance_level


def difficulty_r2(texts: list[str], difficulty_I: npt.NDArray[np.float64]) -> float:
    """R² on every second item of a ridge regression fitted on the others."""
    words = CountVectorizer().fit(texts[::2])
    fitted = Ridge(alpha=1.0).fit(words.transform(texts[::2]), difficulty_I[::2])
    return float(r2_score(difficulty_I[1::2], fitted.predict(words.transform(texts[1::2]))))


def test_graded_words_and_no_others_tell_the_difficulty(tables: Tables, world: StudentWorld) -> None:
    assert difficulty_r2(tables.texts, world.difficulty_I) > 0.9
    blanked = [" ".join(w for w in text.split(" ") if w not in GRADED_WORDS) for text in tables.texts]
    assert difficulty_r2(blanked, world.difficulty_I) < 0.1


def test_difficulty_rises_with_a_word_s_grade(tables: Tables, world: StudentWorld) -> None:
    grades = [[GRADED_WORDS.index(w) for w in text.split(" ") if w in GRADED_WORDS] for text in tables.texts]
    sums = [sum(2 * grade - (len(GRADED_WORDS) - 1) for grade in each) for each in grades]
    assert np.corrcoef(sums, world.difficulty_I)[0, 1] == pytest.approx(1, abs=1e-12)


def test_words_judge_items_without_any_train_answer(tables: Tables) -> None:
    item, correct = tables.column(1), tables.column(2)
    seen = item % 2 == 0
    words = CountVectorizer().fit(tables.texts[::2]).transform(tables.texts)
    fitted = LogisticRegression(max_iter=300).fit(words[item[seen]], correct[seen])
    scores = fitted.decision_function(words[item[~seen]])
    assert roc_auc_score(correct[~seen], scores) > 0.62


def test_a_text_has_5_to_14_words_and_names_its_skill(tables: Tables, world: StudentWorld) -> None:
    skills_of = defaultdict(set)
    shared = {*GRADED_WORDS, *_NEUTRAL_WORDS.split()}
    lengths = set()
    for text, skill in zip(tables.texts, world.skill_I.tolist(), strict=True):
        words = text.split(" ")
        lengths.add(len(words))
        assert 2 <= sum(word in GRADED_WORDS for word in words) <= 4
        skill_words = [word for word in words if word not in shared]
        assert 1 <= len(skill_words) <= 2
        for word in skill_words:
            skills_of[word.lower()].add(skill)
    assert lengths == set(range(5, 15))
    assert all(len(skills) == 1 for skills in skills_of.values())
    assert not skills_of.keys() & shared


@pytest.mark.parametrize(
    "extreme",
    [
        {"items": 50, "students": 10, "answers_mean": 5.0, "skills": 1},
        {"items": 50, "students": 10, "answers_mean": 1000.0, "skills": 50, "learning": 1.0},
        {"ability_spread": 10.0, "difficulty_spread": 10.0, "skill_spread": 10.0, "skills": 50},
        {"items": 100_000, "students": 10, "seed": 2**63},
    ],
)
def test_extreme_specs_stay_valid(tmp_path: Path, extreme: dict[str, float]) -> None:
    spec = SyntheticAnswers.model_validate({"students": 50} | extreme)
    generate_answers(spec, tmp_path / "data")
    tables, world = read(tmp_path / "data"), plant_answers(spec)
    assert len(tables.texts) == spec.items
    assert len(set(tables.column(0).tolist())) == spec.students
    assert set(tables.column(2).tolist()) == {0, 1}
    assert world.chance_A.min() >= 0
    assert world.chance_A.max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [{"items": 49}, {"students": 9}, {"answers_mean": 4.9}, {"skills": 0}, {"learning": 1.1}, {"topics": 3}],
)
def test_a_wrong_size_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SyntheticAnswers.model_validate(wrong)


def test_folder_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("disk")

    monkeypatch.setattr(synthetic, "_times", fail)
    with pytest.raises(RuntimeError, match="disk"):
        generate_answers(SPEC, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_one_with_files_refused(tmp_path: Path) -> None:
    spec = SyntheticAnswers(items=50, students=10)
    target = tmp_path / "data"
    target.mkdir()
    generate_answers(spec, target)
    before = (target / "interactions.tsv").read_bytes()
    with pytest.raises(DataError, match="not empty"):
        generate_answers(spec.model_copy(update={"seed": 1}), target)
    assert (target / "interactions.tsv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
