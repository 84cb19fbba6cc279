"""The manifest of a prepared folder: sources, settings, counts, size and digest of every array."""

import hashlib
from pathlib import Path
from typing import Literal

import pydantic
from pydantic import BaseModel, ConfigDict

from grambench.config.data import FieldLimits
from grambench.errors import DataError

SCHEMA_VERSION: Literal[2] = 2
MANIFEST_FILE = "manifest.json"

PartName = Literal["train", "validation", "test"]
UnknownItems = Literal["error", "drop", "blank"]
ValidationRule = Literal["last-day", "users"]
Protocol = Literal["honest", "paper"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceFile(_Model):
    """A source file of the arrays."""

    bytes: int
    sha256: str


class ArrayFile(_Model):
    """One `.npy` file; `bytes` is the size of the file, header included."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


class TokenizerInfo(_Model):
    """The tokenizer that made the tokens."""

    key: str
    """Its name in the request; part of the cache key."""
    fingerprint: str
    vocabulary_size: int
    cls_id: int | None
    sep_id: int


class PartCounts(_Model):
    """Counts of one part of a news data set, after the unknown-items policy unless noted otherwise."""

    impressions: int
    users: int
    history_clicks: int
    candidates: int
    clicks: int
    """Candidates labelled 1."""
    empty_histories: int
    no_click_impressions: int
    all_click_impressions: int
    missing_times: int
    unknown_history: int
    """Occurrences of unknown ids in histories, before the policy."""
    unknown_candidates: int
    """Occurrences of unknown ids among candidates, before the policy."""
    dropped_impressions: int
    """Impressions dropped because no candidate was known (`drop`)."""


class AnswerCounts(_Model):
    """Counts of one part of a knowledge-tracing data set."""

    users: int
    answers: int
    """Scored answers."""
    earlier_answers: int
    """Earlier answers of the same users: context, not scored."""
    correct: int
    items: int
    """Distinct items of the scored answers."""
    cold_answers: int
    """Scored answers to cold items."""


class SampleCounts(_Model):
    """Counts of one part of a domain that has no class of its own here; it may add others by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]

    samples: int
    scored: int
    """Samples that count in a metric; 0 if they have only one class."""


class ColdCounts(_Model):
    """Items excluded from training."""

    items: int
    lost_answers: int
    """Training answers dropped because of them."""
    seed: int


class RepeatCounts(_Model):
    """Answers that occupy several rows of the source, before the policy (knowledge tracing)."""

    answers: int
    has_times: bool
    """Whether the source has times to the second; without them only runs can be detected."""
    same_item: int
    """Rows with the user, item and second of an earlier row."""
    other_items: int
    """Rows with the user and second of an earlier row, but another item."""
    moments: int
    """Seconds in which a user answered several items."""
    agreeing_moments: int
    """Moments whose rows all have the same result."""
    is_row_a_skill: bool
    """Whether nearly all moments agree: the rows of a moment are then one answer, not a bundle."""
    in_a_run: int
    """Rows with the user, item and result of the preceding row, at another time or without times."""

    @property
    def repeated(self) -> int:
        """Rows that certainly repeat an answer; runs and bundles do not count."""
        return self.same_item + (self.other_items if self.is_row_a_skill else 0)


class PartInfo(_Model):
    """A part, and the part whose arrays it shares (`paper`: validation is test)."""

    stored_as: PartName
    counts: PartCounts | AnswerCounts | SampleCounts


class ItemCounts(_Model):
    """Counts of the items and their tokens."""

    items: int
    tokens: int
    mean_length: float
    """Mean tokens per item, including special tokens."""
    max_length: int
    repeated_ids_same_text: int = 0
    """News ids that occur in several splits with the same text."""
    repeated_ids_other_text: int = 0
    """News ids that occur in several splits with different texts; the earliest split's text is used."""
    unknown_ids: int = 0
    """Distinct ids in histories and candidates without a row in any news.tsv."""
    blank_items: int
    """Unknown ids kept as items without text (`blank`)."""
    empty_texts: int
    """Items of news.tsv whose selected fields are all empty."""
    without_body: int | None = None
    """Items of news.tsv without a body; None if bodies are not used."""
    text_tokens: int | None = None
    """Tokens without special tokens; None here and below: prepared by a version that did not count them."""
    unknown_tokens: int | None = None
    """Of these, unknown tokens; None also if the tokenizer has no unknown token."""
    same_tokens: int | None = None
    """Items with the same tokens as an earlier item, not counting items without text tokens."""
    no_text_tokens: int | None = None
    """Items with special tokens only."""
    cut_items: int | None = None
    """Items with a field truncated by `fields`."""


class Manifest(_Model):
    """`manifest.json` of a prepared folder."""

    schema_version: Literal[2]
    domain: str
    fingerprint: str
    """sha256 of everything that determines the arrays; the folder is named after its first 16 digits."""
    dataset: str
    sources: dict[str, SourceFile]
    tokenizer: TokenizerInfo
    fields: FieldLimits
    unknown_items: UnknownItems
    validation: ValidationRule | None
    """None under the paper's protocol, which does not take validation data out of train."""
    validation_share: float | None
    """Share of the users; None unless `validation` is "users"."""
    protocol: Protocol
    parts: dict[PartName, PartInfo]
    items: ItemCounts
    arrays: dict[str, ArrayFile]
    cold: ColdCounts | None = None
    """None for news."""
    left_out: dict[str, int] = {}
    """Rows of the source that could not be used, by reason (knowledge tracing)."""
    files: dict[str, str] = {}
    """Path within the folder -> sha256 of the bytes written; empty if an earlier version wrote it."""
    seal: str = ""
    """sha256 of the manifest's bytes with an empty seal."""
    repeats: RepeatCounts | None = None
    """Answers in several rows; None for news, and in folders prepared by version 0.1."""
    repeated_answers: Literal["first", "keep"] = "keep"
    """How they were handled."""


def sealed(manifest: Manifest) -> str:
    """The text of `manifest.json`, including its seal."""
    text = manifest.model_copy(update={"seal": ""}).model_dump_json(indent=1) + "\n"
    seal = hashlib.sha256(text.encode()).hexdigest()
    return manifest.model_copy(update={"seal": seal}).model_dump_json(indent=1) + "\n"


def _is_intact(content: bytes, manifest: Manifest) -> bool:
    """Whether the seal matches the content; True for earlier versions, which wrote no seal."""
    if not manifest.files and not manifest.seal:
        return True
    return hashlib.sha256(content.replace(manifest.seal.encode(), b"", 1)).hexdigest() == manifest.seal


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a complete prepared folder; only the sizes of the arrays are checked
    (`check.check_prepared` reads them).

    Raises:
        DataError: the manifest is missing, damaged or from another version, or an array is missing or
            has the wrong size.
    """
    fix = "Delete the folder; the next run prepares the data again."
    path = folder / MANIFEST_FILE
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise DataError(f"{folder} is not prepared data: {path.name} cannot be read.", fix) from error
    except pydantic.ValidationError as error:
        raise DataError(f"{path} is damaged or from another version of grambench.", fix) from error
    if not _is_intact(content, manifest):
        raise DataError(f"{path} is damaged: its seal does not match its content.", fix)
    for name, array in manifest.arrays.items():
        file = folder / f"{name}.npy"
        try:
            size = file.stat().st_size
        except OSError as error:
            raise DataError(f"{file} is missing.", fix) from error
        if size != array.bytes:
            raise DataError(f"{file} has {size} bytes, expected {array.bytes}.", fix)
    return manifest
