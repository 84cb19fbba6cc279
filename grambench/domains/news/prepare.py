"""News recommendation: split the impressions that were read into parts.

Legend: B impressions.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.config.data import Data, FieldLimits
from grambench.data.prepared.build import Interactions
from grambench.data.prepared.manifest import PartName
from grambench.data.prepared.tokens import Texts
from grambench.data.tables.clock import MISSING_TIME
from grambench.data.tables.splits import TEST, TRAIN, VALIDATION
from grambench.domains.news import impressions
from grambench.domains.news.formats.catalogue import Catalogue, ReadNews
from grambench.domains.news.formats.mind import Behaviors
from grambench.domains.news.formats.mind_folder import Bodies
from grambench.domains.news.impressions import Part
from grambench.errors import ConfigError, DataError

_EXAMPLES = 5

Bools = npt.NDArray[np.bool_]


def split_news_data(news: ReadNews, data: Data) -> Interactions:
    """Link, split into parts, and apply the policy for unknown items.

    Raises:
        DataError: the data contains unknown ids under "error", or a part is empty.
        ConfigError: a field limit leaves no room for the special tokens.
    """
    texts = item_texts(news.catalogue, news.bodies, data.fields)
    linked, unknown_ids = impressions.link(news.behaviors, news.catalogue.ids)
    if data.unknown_items == "error" and len(unknown_ids):
        raise _unknown_error(linked, unknown_ids)
    before = cut(data, news, linked)
    after = {name: _apply_policy(data, part, len(news.catalogue)) for name, part in before.items()}
    _check_filled(after)
    rule = data.validation if data.protocol == "honest" else None
    return Interactions(
        texts=texts,
        blank_items=len(unknown_ids) if data.unknown_items == "blank" else 0,
        parts=dict(after),
        counts={name: impressions.count(before[name], after[name]) for name in after},
        items=_count_items(news.catalogue, texts, len(unknown_ids)),
        manifest={
            "validation": rule,
            "validation_share": data.validation_share if rule == "users" else None,
        },
    )


def cut(data: Data, news: ReadNews, linked: list[Part]) -> dict[PartName, Part]:
    """The stored parts; under the paper's protocol test also serves as validation.

    Raises:
        DataError: the validation or test rule leaves a part empty.
        ConfigError: the paper's protocol for a table or a folder without splits, which has no published part.
    """
    if len(linked) == 1:
        return _cut_table(data, news, linked[0])
    train, test = linked
    if data.protocol == "paper":
        return {"train": train, "test": test}
    held_out = _held_out(data, news.behaviors[0], train.time_s, np.ones(len(train), np.bool_))
    return {
        "train": impressions.select(train, ~held_out),
        "validation": impressions.select(train, held_out),
        "test": test,
    }


def _cut_table(data: Data, news: ReadNews, whole: Part) -> dict[PartName, Part]:
    """Split by the column `split`; else test on the newest impressions or, without times, a user share."""
    if data.protocol == "paper":
        raise ConfigError(
            "data.protocol = paper selects on a published part, but this data has none.",
            "Leave `data.protocol` out.",
        )
    (behaviors,) = news.behaviors
    test = test_rows(news, data)
    if news.split is not None:
        held_out, rest = news.split == VALIDATION, news.split == TRAIN
    else:
        held_out, rest = np.zeros_like(test), ~test
    for name, rows in (("test", test), ("train", rest)):
        if not rows.any():
            raise DataError(f"No impression is in the split `{name}`.", "Mark some, or leave the column out.")
    if not held_out.any():
        held_out = _held_out(data, behaviors, whole.time_s, rest)
    return {
        "train": impressions.select(whole, rest & ~held_out),
        "validation": impressions.select(whole, held_out),
        "test": impressions.select(whole, test),
    }


def test_rows(news: ReadNews, data: Data) -> Bools:
    """Mask [B] of the test part in the last split that has labels.

    Raises:
        DataError: the newest impressions cannot be told from the others.
    """
    if len(news.behaviors) > 1:
        return np.ones(len(news.behaviors[-1]), np.bool_)
    return _test_of_table(data.test_share, news.behaviors[0]) if news.split is None else news.split == TEST


def _test_of_table(share: float, behaviors: Behaviors) -> Bools:
    """Mask [B] of the newest `share` of the impressions, equal times together; without times, of users."""
    time_s = behaviors.time_s
    if (time_s == MISSING_TIME).any():
        return impressions.user_share(behaviors, share, np.ones(len(time_s), np.bool_), "test")
    newest: Bools = time_s >= np.sort(time_s)[-max(1, round(share * len(time_s)))]
    if newest.all():
        raise DataError(
            "Too many impressions have the same time to split off the newest for testing.",
            "Mark the test impressions: tables may have a column `split`, MIND's format has train/ and dev/.",
        )
    return newest


def _held_out(data: Data, behaviors: Behaviors, time_s: npt.NDArray[np.int64], train: Bools) -> Bools:
    """Mask [B] of the impressions of `train` that are held out for validation."""
    if data.validation == "users":
        return impressions.user_share(behaviors, data.validation_share, train)
    held_out = np.zeros_like(train)
    held_out[train] = impressions.last_day(time_s[train])
    return held_out


def item_texts(catalogue: Catalogue, bodies: Bodies | None, fields: FieldLimits) -> Texts:
    """The selected text fields of every item; a missing body is empty.

    Raises:
        ConfigError: a limit leaves no room for the special tokens.
    """
    columns = {"title": catalogue.titles, "abstract": catalogue.abstracts}
    if bodies is not None:
        rows = pc.index_in(catalogue.ids, bodies.ids)
        columns["body"] = pc.fill_null(bodies.bodies.take(rows), "")
    names = tuple(name for name in ("title", "abstract", "body") if getattr(fields, name) > 0)
    limits = tuple(int(getattr(fields, name)) for name in names)
    if limits[0] < 2:
        raise ConfigError(
            f"data.fields.{names[0]} = {limits[0]} leaves no room for the two special tokens.",
            f"Use `--set data.fields.{names[0]}=2` or more, or 0 to leave it out.",
        )
    return Texts(names, limits, tuple(columns[name] for name in names))


def _check_filled(parts: dict[PartName, Part]) -> None:
    for name, part in parts.items():
        if not len(part):
            raise DataError(
                f"The {name} part has no impressions with a known candidate.",
                "Check the items' files, or keep unknown ids with `--set data.unknown_items=blank`.",
            )


def _apply_policy(data: Data, part: Part, known: int) -> Part:
    if data.unknown_items == "drop":
        return impressions.drop_unknown(part)
    return impressions.number_unknown(part, known)


def _unknown_error(linked: list[Part], unknown_ids: pa.Array) -> DataError:
    history = sum(int(np.count_nonzero(split.history_items < 0)) for split in linked)
    candidates = sum(int(np.count_nonzero(split.candidate_items < 0)) for split in linked)
    examples = ", ".join(map(repr, unknown_ids[:_EXAMPLES].to_pylist()))
    return DataError(
        f"{len(unknown_ids):,} ids have no row in the items' files (such as {examples}):"
        f" {history:,} history clicks and {candidates:,} candidates.",
        "Add their rows, or choose with `--set data.unknown_items=…`: `drop` leaves them out (counted),"
        " `blank` keeps each as an item without text, `error` stops here.",
    )


def _count_items(catalogue: Catalogue, texts: Texts, unknown_ids: int) -> dict[str, int | None]:
    is_empty = np.logical_and.reduce([_is_empty(column) for column in texts.columns])
    body = dict(zip(texts.names, texts.columns, strict=True)).get("body")
    return {
        "repeated_ids_same_text": len(catalogue.repeated_same),
        "repeated_ids_other_text": len(catalogue.repeated_other),
        "unknown_ids": unknown_ids,
        "empty_texts": int(np.count_nonzero(is_empty)),
        "without_body": None if body is None else int(np.count_nonzero(_is_empty(body))),
    }


def _is_empty(column: pa.Array) -> npt.NDArray[np.bool_]:
    empty: npt.NDArray[np.bool_] = pc.equal(column, "").to_numpy(zero_copy_only=False)
    return empty
