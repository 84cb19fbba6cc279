"""What a prepared folder says about itself: sources, choices, counts, size and digest of every array."""

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
    """A file that the arrays were made from."""

    bytes: int
    sha256: str


class ArrayFile(_Model):
    """One `.npy` file; `bytes` is the size of the file, header included."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


class TokenizerInfo(_Model):
    """Which tokenizer made the tokens."""

    key: str
    """What the request named it; part of the cache key."""
    fingerprint: str
    vocabulary_size: int
    cls_id: int
    sep_id: int


class PartCounts(_Model):
    """Counts of one part, after the unknown-items policy unless said otherwise."""

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
    """Impressions left out because no candidate was known (`drop`)."""


class AnswerCounts(_Model):
    """Counts of one part of a knowledge-tracing data set."""

    users: int
    answers: int
    """Scored ones."""
    earlier_answers: int
    """Of the same users, read before them but not scored."""
    correct: int
    items: int
    """Distinct items that are scored."""
    cold_answers: int
    """Scored answers to cold items."""


class SampleCounts(_Model):
    """Counts of one part of a domain that has no class of its own here."""

    samples: int
    scored: int
    """Those that a metric can score: of both classes."""
    others: dict[str, int] = {}
    """Further counts, by name."""


class ColdCounts(_Model):
    """Items that train never shows."""

    items: int
    lost_answers: int
    """Training answers that were left out for them."""
    seed: int


class RepeatCounts(_Model):
    """Answers of the source that stand in several rows, before the policy (knowledge tracing)."""

    answers: int
    has_times: bool
    """Whether the source has times to the second; else only runs can be seen."""
    same_item: int
    """Rows whose user, item and second an earlier row has."""
    other_items: int
    """Rows whose user and second an earlier row has, with another item."""
    moments: int
    """Seconds of a user with several items."""
    agreeing_moments: int
    """Those whose rows all have one result."""
    is_row_a_skill: bool
    """Nearly all of them agree: rows of one moment are one answer, not a bundle."""
    in_a_run: int
    """Rows whose user, item and result are those of the row before, at another time or without times."""

    @property
    def repeated(self) -> int:
        """Rows that repeat an answer for certain; runs and bundles are none."""
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
    """Tokens of an item, special ones included."""
    max_length: int
    repeated_ids_same_text: int
    """News ids that several splits have, with one text."""
    repeated_ids_other_text: int
    """News ids that several splits have with different texts; the earliest split's is used."""
    unknown_ids: int
    """Distinct ids of histories and candidates without a row in any news.tsv."""
    blank_items: int
    """Unknown ids kept as items without text (`blank`)."""
    empty_texts: int
    """Items of news.tsv whose wanted fields are all empty."""
    without_body: int | None
    """Items of news.tsv without a body; None where no body is wanted."""
    text_tokens: int | None = None
    """Tokens without the special ones; None here and below: prepared by a version that did not count."""
    unknown_tokens: int | None = None
    """Of these, tokens for what the tokenizer does not know; None also where it has no such token."""
    same_tokens: int | None = None
    """Items with the tokens of an earlier item; items without tokens of text are left out."""
    no_text_tokens: int | None = None
    """Items that have special tokens only."""
    cut_items: int | None = None
    """Items of which `fields` cuts a field."""


class Manifest(_Model):
    """`manifest.json` of a prepared folder."""

    schema_version: Literal[2]
    domain: str
    fingerprint: str
    """sha256 of everything that determines the arrays; its first 16 digits name the folder."""
    dataset: str
    sources: dict[str, SourceFile]
    tokenizer: TokenizerInfo
    fields: FieldLimits
    unknown_items: UnknownItems
    validation: ValidationRule | None
    """None under the paper's protocol, which cuts nothing out of train."""
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
    """File, by its path in the folder -> sha256 of what was written. Empty: an earlier version wrote it."""
    seal: str = ""
    """sha256 of the manifest's own bytes with an empty seal."""
    repeats: RepeatCounts | None = None
    """Answers in several rows; None for news, and in a folder that version 0.1 has prepared."""
    repeated_answers: Literal["first", "keep"] = "keep"
    """What was done with them."""


def sealed(manifest: Manifest) -> str:
    """The text of `manifest.json`, with its seal."""
    text = manifest.model_copy(update={"seal": ""}).model_dump_json(indent=1) + "\n"
    seal = hashlib.sha256(text.encode()).hexdigest()
    return manifest.model_copy(update={"seal": seal}).model_dump_json(indent=1) + "\n"


def _is_intact(content: bytes, manifest: Manifest) -> bool:
    """Whether the seal is that of the content; True for earlier versions, which wrote no seal."""
    if not manifest.files and not manifest.seal:
        return True
    return hashlib.sha256(content.replace(manifest.seal.encode(), b"", 1)).hexdigest() == manifest.seal


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a whole prepared folder; arrays are checked by their size, not read
    (`prepared_check.check_prepared` reads them).

    Raises:
        DataError: there is no manifest, it is damaged or of another version, or an array is missing
            or has another size.
    """
    fix = "Delete the folder; the next run prepares the data again."
    path = folder / MANIFEST_FILE
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except OSError as error:
        raise DataError(f"{folder} is not prepared data: {path.name} cannot be read.", fix) from error
    except pydantic.ValidationError as error:
        raise DataError(f"{path} is damaged or of another version of grambench.", fix) from error
    if not _is_intact(content, manifest):
        raise DataError(f"{path} is damaged: its seal is not that of its content.", fix)
    for name, array in manifest.arrays.items():
        file = folder / f"{name}.npy"
        try:
            size = file.stat().st_size
        except OSError as error:
            raise DataError(f"{file} is missing.", fix) from error
        if size != array.bytes:
            raise DataError(f"{file} has {size} bytes, expected {array.bytes}.", fix)
    return manifest
