"""Knowledge-tracing data, prepared: what the arrays hold and what the cache's name depends on."""

import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from damage import flip_later
from prepare_requests import changed, prepare_request

from grambench.config.data import FieldLimits
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.domains.prepared import PrepareRequest, open_prepared, prepare
from grambench.errors import ConfigError, DataError

CLS, SEP = 1, 2
TEXTS = ("one plus one", "two times two", "", "three minus two")


class Letters:
    """One token a letter."""

    fingerprint = "letters"
    vocabulary_size = 200
    cls_id, sep_id = CLS, SEP

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        ids = [[ord(letter) for letter in text] for text in texts]
        ends = np.cumsum([len(item) for item in ids], dtype=np.int64)
        return np.array(list(chain(*ids)), np.int32), np.concatenate(([0], ends))


def write_tables(folder: Path, answers: list[tuple[str, str, int]], split: list[str] | None = None) -> Path:
    folder.mkdir(parents=True)
    items = "".join(f"i{n}\t{text}\n" for n, text in enumerate(TEXTS))
    (folder / "items.tsv").write_text(f"id\ttext\n{items}")
    head, tails = "user\titem\tcorrect", [""] * len(answers)
    if split is not None:
        head, tails = f"{head}\tsplit", [f"\t{name}" for name in split]
    rows = "".join(f"{u}\t{i}\t{c}{tail}\n" for (u, i, c), tail in zip(answers, tails, strict=True))
    (folder / "interactions.tsv").write_text(f"{head}\n{rows}")
    return folder


SPLIT = ["train", "train", "validation", "test", "test", "train", "test"]
ANSWERS = [
    ("ann", "i0", 1), ("ann", "i1", 0), ("ann", "i3", 1), ("ann", "i0", 1), ("ann", "i2", 0),
    ("bob", "i1", 1), ("bob", "i3", 0),
]  # fmt: skip


@pytest.fixture
def request_(tmp_path: Path) -> PrepareRequest:
    return prepare_request(
        folder=write_tables(tmp_path / "tables", ANSWERS, SPLIT),
        dataset="mine",
        fields=FieldLimits(title=8),
        validation="users",
        validation_share=0.2,
        tokenizer=Letters(),
        source="tables",
    )


def silent(phase: str, done: int, total: int) -> None:
    assert 0 <= done <= total, phase


def test_arrays_hold_the_answers_of_each_part_and_the_texts(request_: PrepareRequest, tmp_path: Path) -> None:
    data = open_prepared(prepare(request_, tmp_path / "cache", silent))
    assert data.manifest.domain == "knowledge-tracing"
    found = {}
    for name, part in data.parts.items():
        assert isinstance(part, Sequences)
        found[name] = [
            list(
                zip(part.items[at].tolist(), part.correct[at].tolist(), part.scored[at].tolist(), strict=True)
            )
            for at in (slice(a, b) for a, b in zip(part.offsets, part.offsets[1:], strict=False))
        ]
    assert found == {
        "train": [[(0, 1, 1), (1, 0, 1)], [(1, 1, 1)]],
        "validation": [[(0, 1, 0), (1, 0, 0), (3, 1, 1)]],
        "test": [[(0, 1, 0), (1, 0, 0), (3, 1, 0), (0, 1, 1), (2, 0, 1)], [(1, 1, 0), (3, 0, 1)]],
    }
    texts = [
        data.tokens[a:b].tolist() for a, b in zip(data.token_offsets, data.token_offsets[1:], strict=False)
    ]
    assert texts == [[CLS, *map(ord, text[:6]), SEP] for text in TEXTS]


def test_counts_are_those_of_the_scored_answers(request_: PrepareRequest, tmp_path: Path) -> None:
    manifest = open_prepared(prepare(request_, tmp_path / "cache", silent)).manifest
    test = manifest.parts["test"].counts
    assert (test.users, test.answers, test.earlier_answers, test.correct, test.items) == (2, 3, 4, 1, 3)
    assert (manifest.items.items, manifest.items.empty_texts) == (4, 1)
    assert (manifest.items.text_tokens, manifest.items.cut_items, manifest.items.no_text_tokens) == (18, 3, 1)
    assert manifest.left_out == {}


def test_cold_items_are_stored_and_counted(request_: PrepareRequest, tmp_path: Path) -> None:
    data = open_prepared(prepare(changed(request_, cold_items=2, seed=1), tmp_path / "cache", silent))
    assert len(data.cold_items) == 2
    assert not np.isin(data.parts["train"].items, data.cold_items).any()
    assert data.manifest.cold.items == 2
    assert data.manifest.parts["test"].counts.cold_answers > 0


def test_a_second_call_finds_the_arrays_and_another_choice_makes_others(
    request_: PrepareRequest, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    folder = prepare(request_, cache, silent)
    assert prepare(request_, cache, silent) == folder
    others = [
        changed(request_, cold_items=1),
        changed(request_, test_share=0.3),
        changed(request_, fields=FieldLimits(title=9)),
    ]
    folders = {prepare(other, cache, silent) for other in others}
    assert len(folders | {folder}) == 4


def test_answers_left_out_are_in_the_manifest(request_: PrepareRequest, tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "more", [*ANSWERS, ("bob", "i9", 1)], [*SPLIT, "train"])
    manifest = open_prepared(prepare(changed(request_, folder=folder), tmp_path / "cache", silent)).manifest
    assert manifest.left_out == {"answers to an item that items.tsv does not list": 1}


def test_files_that_are_missing_are_named(request_: PrepareRequest, tmp_path: Path) -> None:
    for source, words in (
        ("tables", "items"),
        ("duolingo", "10.7910/DVN/8SWHNO"),
        ("poj", "poj_log.csv"),
        ("ednet", "u"),
    ):
        with pytest.raises(DataError, match=words):
            prepare(changed(request_, folder=tmp_path, source=source), tmp_path / "cache", silent)


def test_a_limit_without_room_for_a_text_is_refused(request_: PrepareRequest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.fields\.title = 0"):
        prepare(changed(request_, fields=FieldLimits(title=0, abstract=9)), tmp_path / "cache", silent)


def test_a_folder_of_many_files_is_known_by_what_they_hold(request_: PrepareRequest, tmp_path: Path) -> None:
    users = tmp_path / "ednet" / "KT1"
    users.mkdir(parents=True)
    head = "timestamp,solving_id,question_id,user_answer,elapsed_time\n"
    for user in range(40):
        rows = "".join(f"156509619{n}000,{n},q{n % 3},{'ab'[n % 2]},9\n" for n in range(6))
        (users / f"u{user}.csv").write_text(head + rows)
    questions = "question_id,bundle_id,explanation_id,correct_answer,part,tags,deployed_at\n"
    questions += "".join(f"q{n},b{n},e{n},a,1,1,1\n" for n in range(3))
    (tmp_path / "ednet" / "questions.csv").write_text(questions)
    (tmp_path / "ednet" / "contents.tsv").write_text("".join(f"q{n}\ttext {n}\n" for n in range(3)))
    wanted = changed(request_, folder=tmp_path / "ednet", source="ednet")
    cache = tmp_path / "cache"
    folder = prepare(wanted, cache, silent)
    data = open_prepared(folder)
    assert sum(len(part) for part in data.parts.values()) == 40
    assert data.manifest.sources["KT1"].bytes == sum(path.stat().st_size for path in users.iterdir())
    assert prepare(wanted, cache, silent) == folder
    shutil.copytree(tmp_path / "ednet", tmp_path / "copy")
    assert prepare(changed(wanted, folder=tmp_path / "copy"), cache, silent) == folder
    flip_later(users / "u7.csv", 8 * (len(head) + 7))  # its size and its times are those from before
    assert prepare(wanted, cache, silent) != folder
