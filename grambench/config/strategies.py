"""The strategies: one row each, with all properties except the code.

`training/strategies` registers a factory for each row. Rows from other packages come from their entry points
(`config/plugins.py`). Nothing here loads torch.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

Vocabulary = Literal["encoder", "words", "language-model"]
"""Which tokenizer items need: the encoder's, whole words, or that of `lm-kt`'s language model."""
Family = Literal["end-to-end", "single-step", "multi-step", "baseline"]
Colours = Literal["e2e", "e2e-unique", "e2e-like", "single", "steps", "epochs", "auto", "baseline"]
"""Colour family in the dashboard's palette."""
Size = Literal["micro_batch", "encoder_chunk", "encoder_batch"]

ENCODER_AND_FILTER = ("encoder", "encoder_optimizer", "filter", "filter_optimizer")
_CHUNK = (*ENCODER_AND_FILTER, "training.encoder_chunk")
_WINDOWS = (*_CHUNK, "multi_step")
_WIDTH = ("encoder.model", "encoder.revision", "encoder.architecture")
"""Where free item vectors get their width from."""
_FREE_ROWS = ("filter", "filter_optimizer", "training.free_rows")
_WORDS = ("words", "encoder.bucket_tokens", "encoder_optimizer", "filter", "filter_optimizer")

_PARAMETERS = {
    "<N>": r"(?P<steps>[1-9][0-9]*)",
    "<x>": r"(?P<epochs>(?=[0-9.]*[1-9])(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRow:
    """A strategy, or a family of strategies parametrised by a number."""

    name: str
    """`<N>` stands for a number of CF steps, `<x>` for a fraction or number of epochs."""
    meaning: str
    """One-line description for users."""
    family: Family = "baseline"
    """Baselines train models of their own; all other strategies train the same encoder and filter."""
    domains: tuple[str, ...] = ()
    """The domains it supports; empty: all."""
    claims_equality: bool = False
    """Whether its update equals e2e's; checked by the audit."""
    vocabulary: Vocabulary = "encoder"
    encodes: Literal["occurrences", "items"] = "items"
    """What the encoder encodes of a batch: every occurrence, or each distinct item once."""
    passes: int = 3
    """Forward passes that encoding an item in a step costs, the backward pass counting as two."""
    reads: tuple[str, ...] = ENCODER_AND_FILTER
    """Tables and settings that it reads beside those that all strategies read."""
    plan: tuple[Size, ...] = ()
    """Attributes of the strategy that its plan reports."""
    caution: str = ""
    """A sentence for its report: what of its update differs from what its family suggests."""
    colours: Colours = "baseline"
    ranks: bool = False
    """Whether several ranks can train it together."""
    examples: tuple[str, ...] = ()
    """Example names of a family, for messages."""
    factory: str = ""
    """Plug-ins only: `module:attribute` that creates the strategy; imported by workers only."""
    package: str = ""
    """Plug-ins only: name and version of the package, filled in when the row is loaded."""

    def match(self, name: str) -> re.Match[str] | None:
        """Match a strategy name, with its number as group `steps` or `epochs`; None if it does not match."""
        pattern = re.escape(self.name)
        for parameter, group in _PARAMETERS.items():
            pattern = pattern.replace(re.escape(parameter), group)
        return re.fullmatch(pattern, name)


ROWS = (
    StrategyRow(
        name="e2e",
        meaning="end to end: every occurrence of an item is encoded",
        family="end-to-end",
        claims_equality=True,
        encodes="occurrences",
        plan=("micro_batch",),
        colours="e2e",
        reads=(*ENCODER_AND_FILTER, "training.micro_batch"),
        ranks=True,
    ),
    StrategyRow(
        name="e2e-gc",
        meaning="e2e with gradient checkpointing: less memory, and each layer runs once more",
        family="end-to-end",
        claims_equality=True,
        encodes="occurrences",
        passes=4,
        plan=("micro_batch",),
        colours="e2e-like",
        reads=(*ENCODER_AND_FILTER, "training.micro_batch"),
        ranks=True,
    ),
    StrategyRow(
        name="e2e-unique",
        meaning="plain autograd through one encoding of each distinct item of a batch",
        family="end-to-end",
        claims_equality=True,
        colours="e2e-unique",
        ranks=True,
    ),
    StrategyRow(
        name="e2e-cand",
        meaning="the gradient reaches the encoder through candidates only: a cache that is never out of date",
        family="end-to-end",
        domains=("news", "knowledge-tracing"),
        caution="Not the update of e2e: no gradient of the history reaches the encoder.",
        plan=("encoder_chunk",),
        colours="e2e-like",
        reads=_CHUNK,
    ),
    StrategyRow(
        name="gram-1s",
        meaning="single-step GRAM: the update of e2e from one encoding of each distinct item",
        family="single-step",
        claims_equality=True,
        plan=("encoder_chunk",),
        colours="single",
        reads=_CHUNK,
        ranks=True,
    ),
    StrategyRow(
        name="gram-<N>s",
        meaning="multi-step GRAM: the encoder is updated once every N CF steps",
        family="multi-step",
        plan=("encoder_chunk", "encoder_batch"),
        colours="steps",
        examples=("gram-10s",),
        reads=_WINDOWS,
        ranks=True,
    ),
    StrategyRow(
        name="gram-<x>e",
        meaning="multi-step GRAM: the encoder is updated once every x epochs",
        family="multi-step",
        plan=("encoder_chunk", "encoder_batch"),
        colours="epochs",
        examples=("gram-0.5e", "gram-1e"),
        reads=_WINDOWS,
        ranks=True,
    ),
    StrategyRow(
        name="gram-auto",
        meaning="multi-step GRAM: the encoder is updated when the item table has drifted",
        family="multi-step",
        plan=("encoder_chunk", "encoder_batch"),
        colours="auto",
        reads=(*_WINDOWS, "gram_auto"),
        ranks=True,
    ),
    StrategyRow(
        name="nofinetune",
        meaning="the pretrained transformer stays frozen; pooling and filter are trained",
        plan=("encoder_chunk",),
        reads=(*_CHUNK, "nofinetune"),
    ),
    StrategyRow(
        name="nocontent",
        meaning="a free vector for each item instead of its text",
        reads=(*_WIDTH, *_FREE_ROWS, "nocontent"),
    ),
    StrategyRow(
        name="crcf-1s",
        meaning="free item vectors pulled towards the encoded texts at every step",
        reads=(*ENCODER_AND_FILTER, "crcf", "training.free_rows"),
    ),
    StrategyRow(
        name="crcf-1e",
        meaning="free item vectors pulled towards the encoded texts every epoch",
        reads=(*ENCODER_AND_FILTER, "crcf", "training.free_rows", "multi_step"),
    ),
    StrategyRow(
        name="eernn",
        meaning="a bidirectional LSTM over word vectors (Su et al., 2018)",
        domains=("knowledge-tracing",),
        vocabulary="words",
        reads=_WORDS,
    ),
    StrategyRow(
        name="nrms",
        meaning="self-attention over word vectors (Wu et al., 2019)",
        domains=("news",),
        vocabulary="words",
        reads=_WORDS,
    ),
    StrategyRow(
        name="lm-kt",
        meaning="a language model that reads whole histories, in place of encoder and filter",
        domains=("knowledge-tracing",),
        vocabulary="language-model",
        plan=("micro_batch",),
        reads=(
            "language_model",
            "encoder.dropout",
            "encoder.bucket_tokens",
            "encoder_optimizer",
            "training.micro_batch",
        ),
    ),
    StrategyRow(
        name="speedyfeed",
        meaning="single-step with a cache of item vectors (Xiao et al., 2022)",
        domains=("news",),
        reads=(*ENCODER_AND_FILTER, "speedyfeed"),
    ),
)


def adapts(row: StrategyRow) -> bool:
    """Whether a strategy trains the specified encoder as `encoder.adapt` says."""
    return row.family != "baseline" or row.name == "speedyfeed"


@cache
def builtin_row(name: str) -> StrategyRow | None:
    """The row of a built-in strategy; None if there is none of this name."""
    return next((row for row in ROWS if row.match(name)), None)


def row_of(name: str) -> StrategyRow:
    """The row of a built-in or plug-in strategy.

    Raises:
        ValueError: unknown strategy, or its plug-in cannot be used.
    """
    row = builtin_row(name)
    if row is not None:
        return row
    from grambench.config.plugins import plugin_names, plugin_row

    row = plugin_row(name)
    if row is None:
        others = f", and from plug-ins {', '.join(plugins)}" if (plugins := plugin_names()) else ""
        raise ValueError(
            f"unknown strategy {name!r}: neither one of grambench ({_known()}{others})"
            " nor of an installed plug-in"
        )
    return row


def _known() -> str:
    shown = (f"{row.name} such as {' and '.join(row.examples)}" if row.examples else row.name for row in ROWS)
    return ", ".join(shown)


def window_steps(name: str, steps_per_epoch: int) -> int:
    """CF steps between two encoder updates according to the strategy's name; 1 if it has no number.

    Raises:
        ValueError: unknown strategy.
    """
    match = row_of(name).match(name)
    numbers = match.groupdict() if match is not None else {}
    if "steps" in numbers:
        return int(numbers["steps"])
    if "epochs" in numbers:
        return max(1, math.ceil(Fraction(numbers["epochs"]) * steps_per_epoch))
    return 1
