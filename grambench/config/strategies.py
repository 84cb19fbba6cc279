"""The strategies: one row for each, with everything that its name means except the code.

`training/strategies` registers a factory for each row. Rows of other packages come from their entry points
(`config/plugins.py`). Nothing here loads torch.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

Vocabulary = Literal["encoder", "words", "language-model"]
"""What an item's tokens are: the encoder's, whole words, or those of the language model of `lm-kt`."""
Family = Literal["end-to-end", "single-step", "multi-step", "baseline"]
Colours = Literal["e2e", "e2e-unique", "single", "steps", "epochs", "auto", "baseline"]
"""A family of shades in the dashboard's palette."""
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
    """A strategy, or a family of strategies that differ in a number."""

    name: str
    """In which `<N>` stands for a number of CF steps, and `<x>` for a share or number of epochs."""
    meaning: str
    """One line for people."""
    family: Family = "baseline"
    """Baselines are systems of their own; the others train the same encoder and filter."""
    domains: tuple[str, ...] = ()
    """The domains that it is for; empty: all."""
    claims_equality: bool = False
    """Whether its update is that of e2e, which the audit checks."""
    vocabulary: Vocabulary = "encoder"
    encodes: Literal["occurrences", "items"] = "items"
    """What of a batch goes through the encoder: every occurrence, or each distinct item once."""
    reads: tuple[str, ...] = ENCODER_AND_FILTER
    """Tables and settings that it reads beside those that all strategies read."""
    plan: tuple[Size, ...] = ()
    """Attributes of the strategy that its plan reports."""
    colours: Colours = "baseline"
    examples: tuple[str, ...] = ()
    """Names of a family, for messages."""
    factory: str = ""
    """Of another package: `module:attribute` that makes the strategy; imported by workers only."""
    package: str = ""
    """The name and version of that package, filled in when the row is found."""

    def match(self, name: str) -> re.Match[str] | None:
        """The numbers in a name of this row, as groups `steps` or `epochs`; None: it is not of this row."""
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
    ),
    StrategyRow(
        name="e2e-unique",
        meaning="plain autograd through one encoding of each distinct item of a batch",
        family="end-to-end",
        claims_equality=True,
        colours="e2e-unique",
    ),
    StrategyRow(
        name="gram-1s",
        meaning="single-step GRAM: the update of e2e from one encoding of each distinct item",
        family="single-step",
        claims_equality=True,
        plan=("encoder_chunk",),
        colours="single",
        reads=_CHUNK,
    ),
    StrategyRow(
        name="gram-<N>s",
        meaning="multi-step GRAM: the encoder follows once in N CF steps",
        family="multi-step",
        plan=("encoder_chunk", "encoder_batch"),
        colours="steps",
        examples=("gram-10s",),
        reads=_WINDOWS,
    ),
    StrategyRow(
        name="gram-<x>e",
        meaning="multi-step GRAM: the encoder follows once in x epochs",
        family="multi-step",
        plan=("encoder_chunk", "encoder_batch"),
        colours="epochs",
        examples=("gram-0.5e", "gram-1e"),
        reads=_WINDOWS,
    ),
    StrategyRow(
        name="gram-auto",
        meaning="multi-step GRAM: the encoder follows when the item table has drifted",
        family="multi-step",
        plan=("encoder_chunk", "encoder_batch"),
        colours="auto",
        reads=(*_WINDOWS, "gram_auto"),
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
        meaning="free item vectors pulled to those of the texts, at every step",
        reads=(*ENCODER_AND_FILTER, "crcf", "training.free_rows"),
    ),
    StrategyRow(
        name="crcf-1e",
        meaning="free item vectors pulled to those of the texts, by epochs",
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


@cache
def builtin_row(name: str) -> StrategyRow | None:
    """The row of a strategy of grambench itself; None: it has none of this name."""
    return next((row for row in ROWS if row.match(name)), None)


def row_of(name: str) -> StrategyRow:
    """The row of a strategy, which may be a plug-in's.

    Raises:
        ValueError: there is no such strategy, or its plug-in cannot be used.
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
    """CF steps between two encoder updates that a strategy's name tells; 1 where it tells none.

    Raises:
        ValueError: there is no such strategy.
    """
    match = row_of(name).match(name)
    numbers = match.groupdict() if match is not None else {}
    if "steps" in numbers:
        return int(numbers["steps"])
    if "epochs" in numbers:
        return max(1, math.ceil(Fraction(numbers["epochs"]) * steps_per_epoch))
    return 1
