"""Warnings about the specification and the data for a careful reader of the report."""

from collections.abc import Iterator

from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary
from grambench.data.cautions import ONE_SPLIT, part_cautions, repeat_cautions
from grambench.data.prepared.manifest import Manifest
from grambench.events.types import Warned
from grambench.models.encoders.sentence import ignored_modules


def data_warnings(manifest: Manifest) -> Iterator[Warned]:
    """Warnings about decisions that the preparation had to make."""
    items = manifest.items
    if items.unknown_ids:
        done = {"drop": "left out", "blank": "kept without a text"}[manifest.unknown_items]
        yield Warned(
            "unknown-items",
            f"{items.unknown_ids:,} ids without a row in news.tsv were {done}"
            f" (data.unknown_items = {manifest.unknown_items})",
        )
    if items.repeated_ids_other_text:
        yield Warned(
            "repeated-ids",
            f"{items.repeated_ids_other_text:,} news ids have different texts in several splits;"
            " the earliest split's text is used",
        )
    if manifest.left_out:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in manifest.left_out.items())
        yield Warned("left-out", f"{reasons} were left out")
    if manifest.repeats is not None:
        for code, words in repeat_cautions(manifest.repeats, manifest.repeated_answers == "keep"):
            yield Warned(code, words)
    if "train/behaviors.tsv" in manifest.sources and "dev/behaviors.tsv" not in manifest.sources:
        yield Warned("one-split", ONE_SPLIT)
    for code, words in part_cautions(manifest.parts):
        yield Warned(code, words)


_FEW = 0.03
"""Share above which a warning is given."""
_MANY_CUT = 0.25
"""Limits cut long texts on purpose; a larger share of cut items may be a mistake."""


def text_warnings(manifest: Manifest, vocabulary: Vocabulary = "encoder") -> Iterator[Warned]:
    """Warnings about text the tokenizer lost; none if an earlier version prepared it without counting."""
    items, about = manifest.items, "" if vocabulary == "encoder" else f" ({vocabulary} vocabulary)"
    suffix = "" if vocabulary == "encoder" else f"-{vocabulary}"

    def share(count: int | None, of: int | None, limit: float = _FEW) -> str:
        """`1,234 of 5,000 (25 %)`; empty: it is not counted, or not above the limit."""
        if not count or not of or count <= limit * of:
            return ""
        return f"{count:,} of {of:,} ({100 * count / of:.0f} %)"

    if words := share(items.unknown_tokens, items.text_tokens):
        yield Warned(
            f"unknown-tokens{suffix}",
            f"{words} tokens of the items' texts are unknown to the tokenizer{about}:"
            " is it for the language of the data?",
        )
    if words := share(items.same_tokens, items.items):
        yield Warned(
            f"same-tokens{suffix}",
            f"{words} items have the tokens of an earlier item: their texts do not tell them apart{about}",
        )
    if words := share(items.no_text_tokens, items.items):
        yield Warned(f"no-text{suffix}", f"{words} items have no text that the tokenizer can read{about}")
    if words := share(items.cut_items, items.items, _MANY_CUT):
        yield Warned(
            f"cut-texts{suffix}", f"{words} items are longer than data.fields allows and were cut{about}"
        )


def spec_warnings(spec: Spec) -> Iterator[Warned]:
    """Warnings about choices that make numbers less comparable than they look."""
    if spec.encoder.dropout:
        yield Warned(
            "encoder-dropout",
            f"encoder.dropout is {spec.encoder.dropout}: not comparable to E2E, since every strategy"
            " draws different masks",
        )
    if ignored := ignored_modules(spec.encoder):
        yield Warned(
            "other-pooling",
            f"the model's own files name {ignored}, which grambench ignores: item vectors are the pooled"
            f" hidden states (encoder.pooling = {spec.encoder.pooling})",
        )
    if spec.data.protocol == "paper":
        yield Warned(
            "paper-protocol", "checkpoints are selected on the reported split (data.protocol = paper)"
        )
    if spec.evaluation.max_impressions is not None:
        yield Warned(
            "sampled-evaluation",
            f"metrics are those of a fixed sample of {spec.evaluation.max_impressions} impressions per part",
        )
    if spec.training.max_steps is not None:
        yield Warned("bounded", f"training ends after {spec.training.max_steps} steps at the latest")
