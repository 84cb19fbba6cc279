"""Prepared arrays: their content, the policies, and a cache that survives kills and rivals."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepare_requests import changed, prepare_request

from grambench.config.data import FieldLimits
from grambench.data.prepared.tokens import join_fields
from grambench.data.tables.clock import MISSING_TIME
from grambench.domains.news.impressions import Part
from grambench.domains.prepared import PrepareRequest, open_prepared, prepare
from grambench.errors import ConfigError, DataError, GrambenchError, MachineError

SplitWriter = Callable[..., Path]

CLS, SEP = 1, 2


@dataclass
class Words:
    """One token per word; remembers what it was asked."""

    texts: list[str] = field(default_factory=list)
    fingerprint: str = "words-1"
    vocabulary_size: int = 10_010
    cls_id: int = CLS
    sep_id: int = SEP

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        self.texts.extend(texts)
        ids = [[token(word) for word in text.split()] for text in texts]
        lengths = [len(item) for item in ids]
        return np.array(list(chain(*ids)), np.int32), np.concatenate(
            ([0], np.cumsum(lengths, dtype=np.int64))
        )


def token(word: str) -> int:
    return 10 + zlib.crc32(word.encode()) % 10_000


@dataclass
class WordsAndUnknown(Words):
    """Knows neither `two` nor `tres`."""

    unknown_id: int = 3
    fingerprint: str = "words-unknown"

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        ids, offsets = super().encode(texts)
        return np.where(np.isin(ids, [token("two"), token("tres")]), self.unknown_id, ids), offsets


def silent(phase: str, done: int, total: int) -> None:
    assert 0 <= done <= total, phase


@pytest.fixture
def data_dir(tmp_path: Path, write_split: SplitWriter) -> Path:
    folder = tmp_path / "data"
    write_split(
        folder / "train",
        [("N1", "one two three four", "uno"), ("N2", "two", ""), ("N3", "", "tres")],
        [
            ("U1", "11/11/2019 9:05:58 AM", "N1 N2", "N3-1 N1-0"),
            ("U2", "11/11/2019 11:59:59 PM", "", "N1-0 N2-1"),
            ("U1", "11/12/2019 12:00:00 AM", "N3", "N2-0 N1-1"),
        ],
    )
    write_split(
        folder / "dev",
        [("N4", "four", ""), ("N2", "changed", "")],
        [("U3", "11/13/2019 9:05:58 AM", "N4", "N4-1 N1-0 N2-0")],
    )
    return folder


@pytest.fixture
def request_(data_dir: Path) -> PrepareRequest:
    return prepare_request(
        folder=data_dir,
        dataset="tiny",
        fields=FieldLimits(title=4, abstract=3),
        validation="last-day",
        validation_share=0.5,
        tokenizer=Words(),
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def append_row(split: Path, row: str) -> None:
    with (split / "behaviors.tsv").open("a") as file:
        file.write(row + "\n")


def rows(part: Part) -> list[tuple[list[int], list[int], list[int]]]:
    """History, candidates and labels of each impression."""
    return [
        (
            part.history_items[slice(*part.history_offsets[row : row + 2])].tolist(),
            part.candidate_items[slice(*part.candidate_offsets[row : row + 2])].tolist(),
            part.candidate_labels[slice(*part.candidate_offsets[row : row + 2])].tolist(),
        )
        for row in range(len(part))
    ]


def test_items_and_parts_hold_what_the_files_say(request_: PrepareRequest, cache: Path) -> None:
    prepared = open_prepared(prepare(request_, cache, silent))
    items = [
        prepared.tokens[slice(*prepared.token_offsets[item : item + 2])].tolist()
        for item in range(len(prepared.token_offsets) - 1)
    ]
    assert items == [
        [CLS, token("one"), token("two"), SEP, token("uno"), SEP],
        [CLS, token("two"), SEP, SEP],
        [CLS, SEP, token("tres"), SEP],
        [CLS, token("four"), SEP, SEP],
    ]
    parts = prepared.parts
    assert rows(parts["train"]) == [([0, 1], [2, 0], [1, 0]), ([], [0, 1], [0, 1])]
    assert rows(parts["validation"]) == [([2], [1, 0], [0, 1])]
    assert rows(parts["test"]) == [([3], [3, 0, 1], [1, 0, 0])]
    assert [part.users.tolist() for part in parts.values()] == [[0, 1], [0], [2]]
    assert parts["validation"].time_s.tolist() == [1_573_516_800]
    counts = prepared.manifest.parts["train"].counts
    assert (counts.impressions, counts.users, counts.clicks, counts.candidates) == (2, 2, 2, 4)
    assert (counts.history_clicks, counts.empty_histories, counts.no_click_impressions) == (2, 1, 0)
    described = prepared.manifest.items
    assert (described.items, described.tokens, described.max_length) == (4, 18, 6)
    assert (described.repeated_ids_same_text, described.repeated_ids_other_text) == (0, 1)
    assert (described.mean_length, described.blank_items, described.without_body) == (4.5, 0, None)
    assert (described.text_tokens, described.cut_items, described.no_text_tokens) == (6, 1, 0)
    assert (described.unknown_tokens, described.same_tokens) == (None, 0)


def test_what_the_tokenizer_loses_of_the_texts_is_counted(request_: PrepareRequest, cache: Path) -> None:
    """Items: `one two|uno` (cut), `two|`, `|tres` and `four|`; with a title of one token two are alike."""
    asked = changed(request_, tokenizer=WordsAndUnknown(), fields=FieldLimits(title=3, abstract=1))
    items = open_prepared(prepare(asked, cache, silent)).manifest.items
    assert (items.items, items.text_tokens, items.unknown_tokens) == (4, 3, 1)
    assert (items.cut_items, items.no_text_tokens, items.same_tokens) == (2, 1, 0)
    asked = changed(request_, tokenizer=WordsAndUnknown(), fields=FieldLimits(title=2, abstract=3))
    items = open_prepared(prepare(asked, cache, silent)).manifest.items
    assert (items.text_tokens, items.unknown_tokens, items.no_text_tokens) == (2, 1, 2)


def test_items_without_text_are_not_taken_for_alike(
    request_: PrepareRequest, data_dir: Path, cache: Path
) -> None:
    with (data_dir / "train" / "news.tsv").open("a") as file:
        file.write("N7\tc\ts\tFOUR\t\tu\t[]\t[]\nN8\tc\ts\tfour\t\tu\t[]\t[]\nN9\tc\ts\t\t\tu\t[]\t[]\n")
    items = open_prepared(prepare(request_, cache, silent)).manifest.items
    assert (items.items, items.same_tokens, items.no_text_tokens) == (7, 1, 1)


def test_a_manifest_of_version_0_1_stays_readable(request_: PrepareRequest, cache: Path) -> None:
    folder = prepare(request_, cache, silent)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("text_tokens", "unknown_tokens", "same_tokens", "no_text_tokens", "cut_items"):
        del manifest["items"][name]
    del manifest["files"], manifest["seal"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert prepare(request_, cache, silent) == folder
    items = open_prepared(folder).manifest.items
    assert (items.tokens, items.text_tokens, items.cut_items) == (18, None, None)


def test_arrays_are_mapped_with_their_promised_types(request_: PrepareRequest, cache: Path) -> None:
    prepared = open_prepared(prepare(request_, cache, silent))
    part = prepared.parts["train"]
    assert isinstance(prepared.tokens, np.memmap)
    assert {array.dtype for array in (prepared.tokens, part.history_items, part.users)} == {np.dtype("int32")}
    assert {array.dtype for array in (prepared.token_offsets, part.history_offsets, part.time_s)} == {
        np.dtype("int64")
    }
    assert part.candidate_labels.dtype == np.int8
    assert not part.history_items.flags.writeable


def test_the_papers_protocol_selects_on_dev(request_: PrepareRequest, cache: Path) -> None:
    prepared = open_prepared(prepare(changed(request_, protocol="paper"), cache, silent))
    assert len(prepared.parts["train"]) == 3
    assert prepared.parts["validation"] is prepared.parts["test"]
    assert prepared.manifest.parts["validation"].stored_as == "test"
    assert not list(prepared.folder.glob("validation_*"))


def test_missing_times_need_validation_by_users(request_: PrepareRequest, cache: Path) -> None:
    for number in range(40):
        append_row(request_.folder / "train", f"{number + 4}\tV{number}\t\tN1\tN1-1 N2-0")
    with pytest.raises(DataError, match=r"40 of 43 train.*--set data\.validation=users"):
        prepare(request_, cache, silent)
    prepared = open_prepared(prepare(changed(request_, validation="users"), cache, silent))
    train, validation = prepared.parts["train"], prepared.parts["validation"]
    assert len(train) + len(validation) == 43
    assert not set(train.users.tolist()) & set(validation.users.tolist())
    assert 8 <= len(validation) <= 32
    assert MISSING_TIME in train.time_s
    assert prepared.manifest.parts["train"].counts.missing_times == int((train.time_s == MISSING_TIME).sum())


def test_the_share_of_users_is_the_same_on_every_platform(request_: PrepareRequest, cache: Path) -> None:
    for number in range(10):
        append_row(request_.folder / "train", f"{number + 4}\tV{number}\t\tN1\tN1-1 N2-0")
    prepared = open_prepared(prepare(changed(request_, validation="users"), cache, silent))
    assert sorted(set(prepared.parts["validation"].users.tolist())) == [
        2,
        3,
        4,
        9,
        10,
        11,
    ]  # V0 V1 V2 V7 V8 V9


def test_one_day_leaves_nothing_to_train_on(request_: PrepareRequest, cache: Path) -> None:
    path = request_.folder / "train" / "behaviors.tsv"
    path.write_text(path.read_text().replace("11/12/2019", "11/11/2019"))
    with pytest.raises(DataError, match="from one day"):
        prepare(request_, cache, silent)
    with pytest.raises(DataError, match=r"selects none of the 2 users"):
        prepare(changed(request_, validation="users", validation_share=1e-9), cache, silent)


@pytest.fixture
def with_unknown(request_: PrepareRequest) -> PrepareRequest:
    append_row(request_.folder / "train", "4\tU4\t11/11/2019 9:05:58 AM\tX1 N1 X2\tX1-1 N2-0 X1-0")
    append_row(request_.folder / "train", "5\tU5\t11/11/2019 9:05:58 AM\tN1\tX3-1 X1-0")
    append_row(request_.folder / "dev", "2\tU6\t11/13/2019 9:05:58 AM\tX9 X1\tN1-1 N2-0")
    return request_


def test_unknown_ids_stop_with_counts_and_choices(with_unknown: PrepareRequest, cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare(with_unknown, cache, silent)
    assert "4 ids have no row" in caught.value.message
    assert "'X1', 'X2', 'X3', 'X9'" in caught.value.message
    assert "4 history clicks and 4 candidates" in caught.value.message
    assert all(choice in caught.value.fix for choice in ("`drop`", "`blank`", "`error`"))


def test_dropped_ids_are_gone_and_counted(with_unknown: PrepareRequest, cache: Path) -> None:
    prepared = open_prepared(prepare(changed(with_unknown, unknown_items="drop"), cache, silent))
    assert rows(prepared.parts["train"])[2:] == [([0], [1], [0])]
    assert rows(prepared.parts["test"])[1:] == [([], [0, 1], [1, 0])]
    train, test = (prepared.manifest.parts[name].counts for name in ("train", "test"))
    assert (train.unknown_history, train.unknown_candidates, train.dropped_impressions) == (2, 4, 1)
    assert (train.impressions, train.users, train.no_click_impressions) == (3, 3, 1)
    assert (test.unknown_history, test.unknown_candidates, test.empty_histories) == (2, 0, 1)
    assert (prepared.manifest.items.unknown_ids, prepared.manifest.items.blank_items) == (4, 0)


def test_blank_ids_become_items_without_text(with_unknown: PrepareRequest, cache: Path) -> None:
    prepared = open_prepared(prepare(changed(with_unknown, unknown_items="blank"), cache, silent))
    assert rows(prepared.parts["train"])[2:] == [([4, 0, 5], [4, 1, 4], [1, 0, 0]), ([0], [6, 4], [1, 0])]
    assert rows(prepared.parts["test"])[1:] == [([7, 4], [0, 1], [1, 0])]
    assert np.diff(prepared.token_offsets)[4:].tolist() == [3] * 4
    assert prepared.tokens[-3:].tolist() == [CLS, SEP, SEP]
    counts = prepared.manifest.parts["train"].counts
    assert (counts.unknown_history, counts.unknown_candidates, counts.dropped_impressions) == (2, 4, 0)
    assert prepared.manifest.items.blank_items == 4


def test_a_part_without_known_candidates_is_refused(request_: PrepareRequest, cache: Path) -> None:
    path = request_.folder / "dev" / "behaviors.tsv"
    path.write_text("1\tU3\t\tN1\tX1-1 X2-0\n")
    with pytest.raises(DataError, match="The test part has no impressions with a known candidate"):
        prepare(changed(request_, unknown_items="drop"), cache, silent)


def test_bodies_are_read_only_if_wanted(request_: PrepareRequest, cache: Path) -> None:
    wanted = changed(request_, fields=FieldLimits(title=3, abstract=0, body=3))
    with pytest.raises(DataError, match=r"no bodies\.tsv or bodies\.parquet.*data\.fields\.body=0"):
        prepare(wanted, cache, silent)
    (request_.folder / "bodies.tsv").write_text("N1\tthe body is long\nN4\tshort\n")
    prepared = open_prepared(prepare(wanted, cache, silent))
    first = prepared.tokens[: prepared.token_offsets[1]].tolist()
    assert first == [CLS, token("one"), SEP, token("the"), token("body"), SEP]
    assert prepared.manifest.items.without_body == 2
    assert prepared.manifest.items.empty_texts == 1
    assert "bodies/0.tsv" in prepared.manifest.sources


def test_news_of_the_test_split_are_items(
    request_: PrepareRequest, cache: Path, write_split: SplitWriter
) -> None:
    write_split(request_.folder / "test", [("N7", "seven", "")], [("U9", "", "N1", "N7 N1")])
    prepared = open_prepared(prepare(request_, cache, silent))
    assert prepared.manifest.items.items == 5


def test_a_limit_without_room_is_refused(request_: PrepareRequest, cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.fields\.title = 1 leaves no room"):
        prepare(changed(request_, fields=FieldLimits(title=1, abstract=2)), cache, silent)


@given(
    st.integers(1, 4).flatmap(
        lambda items: st.lists(
            st.tuples(
                st.lists(st.lists(st.integers(10, 99), max_size=6), min_size=items, max_size=items),
                st.integers(2, 6),
            ),
            min_size=1,
            max_size=3,
        )
    ),
    st.sampled_from([CLS, None]),
)
def test_joined_fields_agree_with_lists(
    columns: list[tuple[list[list[int]], int]], opening: int | None
) -> None:
    encoded = []
    for items, _ in columns:
        offsets = np.concatenate(([0], np.cumsum([len(item) for item in items], dtype=np.int64)))
        encoded.append((np.array(list(chain(*items)), np.int32), offsets))
    flat, offsets = join_fields(encoded, [limit for _, limit in columns], opening, SEP)
    for index in range(len(columns[0][0])):
        expected = [] if opening is None else [opening]
        for number, (items, limit) in enumerate(columns):
            expected += [*items[index][: limit - 1 - (number == 0 and opening is not None)], SEP]
        assert flat[slice(*offsets[index : index + 2])].tolist() == expected


def test_items_without_an_opening_token_begin_with_their_text(request_: PrepareRequest, cache: Path) -> None:
    roomy = changed(request_, fields=FieldLimits(title=30, abstract=30))
    opened = open_prepared(prepare(roomy, cache, silent))
    closed_only = changed(roomy, tokenizer=Words(cls_id=None), tokenizer_key="closed-only")
    found = open_prepared(prepare(closed_only, cache, silent))
    assert found.manifest.tokenizer.cls_id is None
    assert found.manifest.items.text_tokens == opened.manifest.items.text_tokens
    assert found.manifest.items.no_text_tokens == opened.manifest.items.no_text_tokens
    assert (np.diff(found.token_offsets) == np.diff(opened.token_offsets) - 1).all()
    assert (found.tokens[found.token_offsets[1:] - 1] == SEP).all()


def test_a_second_start_neither_reads_nor_tokenizes(
    request_: PrepareRequest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases: list[str] = []
    first = prepare(request_, cache, lambda phase, done, total: phases.append(phase))
    assert list(dict.fromkeys(phases)) == ["hash", "read", "tokenize", "write"]
    again = Words()
    phases.clear()
    monkeypatch.setattr("grambench.data.prepared.sources.sha256_file", None)
    assert prepare(changed(request_, tokenizer=again), cache, lambda *told: phases.append(told[0])) == first
    assert (phases, again.texts) == ([], [])


def test_files_that_change_while_being_read_are_refused(request_: PrepareRequest, cache: Path) -> None:
    def meddle(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("read", 1):
            append_row(request_.folder / "dev", "2\tU6\t\tN1\tN1-1 N2-0")

    with pytest.raises(DataError, match="changed while they were read"):
        prepare(request_, cache, meddle)


def test_what_determines_the_arrays_determines_the_folder(request_: PrepareRequest, cache: Path) -> None:
    folders = [
        prepare(changed, cache, silent)
        for changed in (
            request_,
            changed(request_, fields=FieldLimits(title=5, abstract=3)),
            changed(request_, unknown_items="drop"),
            changed(request_, protocol="paper"),
            changed(request_, tokenizer=Words(fingerprint="words-2")),
        )
    ]
    append_row(request_.folder / "dev", "2\tU6\t\tN1\tN1-1 N2-0")
    folders.append(prepare(request_, cache, silent))
    assert len(set(folders)) == len(folders)
    assert all(folder.name.startswith("tiny-") and len(folder.name) == 21 for folder in folders)
    same = changed(request_, validation_share=0.1)
    assert prepare(same, cache, silent) == folders[-1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"nonsense": "x"}', '{"[1]": "x"}'])
def test_a_damaged_memory_of_digests_is_ignored(request_: PrepareRequest, cache: Path, content: str) -> None:
    first = prepare(request_, cache, silent)
    (cache / ".sha256.json").write_text(content)
    assert prepare(request_, cache, silent) == first
    assert len(json.loads((cache / ".sha256.json").read_text())) == 4


def cut_array(folder: Path) -> None:
    path = folder / "tokens.npy"
    path.write_bytes(path.read_bytes()[:-4])


def cut_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])


def other_version(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 99'))


@pytest.mark.parametrize(
    "damage",
    [
        cut_array,
        cut_manifest,
        other_version,
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "train_users.npy").unlink(),
    ],
)
def test_a_damaged_folder_is_refused_and_built_again(
    request_: PrepareRequest, cache: Path, damage: Callable[[Path], None]
) -> None:
    folder = prepare(request_, cache, silent)
    tokens = open_prepared(folder).tokens.tolist()
    damage(folder)
    with pytest.raises(DataError, match="Delete the folder"):
        open_prepared(folder)
    assert prepare(request_, cache, silent) == folder
    assert open_prepared(folder).tokens.tolist() == tokens


class Growing(Words):
    """Built from the corpus; leaves a file behind."""

    def save(self, folder: Path) -> None:
        (folder / "vocabulary.txt").write_text(" ".join(self.corpus))

    def __init__(self, corpus: Iterator[str]) -> None:
        super().__init__()
        self.corpus = list(corpus)


def test_a_factory_sees_the_corpus_and_saves_its_files(request_: PrepareRequest, cache: Path) -> None:
    folder = prepare(changed(request_, tokenizer=Growing, tokenizer_key="growing-1"), cache, silent)
    saved = (folder / "tokenizer" / "vocabulary.txt").read_text()
    assert saved == "one two three four two four uno tres"
    assert open_prepared(folder).manifest.tokenizer.key == "growing-1"

    def never(corpus: Iterator[str]) -> Words:
        raise AssertionError("the cache has the folder")

    assert prepare(changed(request_, tokenizer=never, tokenizer_key="growing-1"), cache, silent) == folder


def test_an_unwritable_cache_is_the_machines_fault(request_: PrepareRequest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot be written"):
        prepare(request_, tmp_path / "file" / "cache", silent)


def test_a_failed_write_leaves_nothing_behind(
    request_: PrepareRequest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        with pytest.raises(MachineError, match="No space left on device"):
            prepare(request_, cache, silent)
    assert not [path for path in cache.iterdir() if path.is_dir()]
    open_prepared(prepare(request_, cache, silent))


CHILD = """
    import os, signal, sys, time
    from pathlib import Path
    sys.path[:0] = {tests!r}, {helpers!r}
    from test_prepared import *
    data_dir, cache, log, victim, at = sys.argv[1:]

    def factory(corpus):
        with open(log, "a") as file:
            file.write("built\\n")
        time.sleep(0.3)
        return Growing(corpus)

    def report(phase, done, total):
        if phase == victim and done == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

    while os.path.exists(log + ".wait"):
        time.sleep(0.005)
    print(prepare(prepare_request(
        folder=Path(data_dir), dataset="tiny", fields=FieldLimits(title=4, abstract=3),
        validation="last-day", validation_share=0.5, protocol="honest",
        tokenizer=factory, tokenizer_key="growing-1",
    ), Path(cache), report))
"""


def start(data_dir: Path, cache: Path, log: Path, victim: str = "", at: int = 0) -> subprocess.Popen[str]:
    script = textwrap.dedent(CHILD).format(
        tests=str(Path(__file__).parent), helpers=str(Path(__file__).parents[2])
    )
    arguments = [str(part) for part in (data_dir, cache, log, victim, at)]
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_two_processes_at_once_build_once(request_: PrepareRequest, cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    gate = Path(f"{log}.wait")
    gate.touch()
    rivals = [start(request_.folder, cache, log) for _ in range(2)]
    gate.unlink()
    answers = [rival.communicate(timeout=600) for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert log.read_text() == "built\n"
    open_prepared(Path(answers[0][0].strip()))


@pytest.mark.parametrize(("phase", "done"), [("tokenize", 0), ("write", 0), ("write", 7), ("write", 23)])
def test_a_killed_prepare_leaves_nothing_that_is_used(
    request_: PrepareRequest, cache: Path, tmp_path: Path, phase: str, done: int
) -> None:
    log = tmp_path / "log"
    killed = start(request_.folder, cache, log, phase, done)
    assert killed.wait(timeout=600) == -signal.SIGKILL, killed.communicate()
    killed.communicate()
    assert not list(cache.glob("tiny-*"))
    again = changed(request_, tokenizer=Growing, tokenizer_key="growing-1")
    folder = prepare(again, cache, silent)
    assert len(open_prepared(folder).parts["train"]) == 2
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]


def test_errors_of_preparing_are_for_users(request_: PrepareRequest, cache: Path) -> None:
    with pytest.raises(GrambenchError, match="There is no data folder"):
        prepare(changed(request_, folder=cache / "absent"), cache, silent)


def test_real_rows_are_prepared_with_blank_items(
    shared_data: Path, request_: PrepareRequest, cache: Path
) -> None:
    real = changed(request_, folder=shared_data / "mind-rows", unknown_items="blank", protocol="paper")
    prepared = open_prepared(prepare(real, cache, silent))
    counts = prepared.manifest.parts["train"].counts
    assert (counts.impressions, counts.clicks, counts.unknown_history) == (101, 138, 3768)
    assert prepared.parts["train"].candidate_items.max() < prepared.manifest.items.items
