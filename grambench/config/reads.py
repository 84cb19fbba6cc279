"""Which settings a run reads: the others change nothing in it."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from grambench.config.data import NEWS_TABLES
from grambench.config.filters import filter_kind
from grambench.config.strategies import ROWS, StrategyRow, adapts, row_of
from grambench.config.table import settings

if TYPE_CHECKING:
    from grambench.config.networks import Encoder
    from grambench.config.spec import Spec

_Condition = Callable[["Spec", frozenset[str]], bool]
"""Of the specification and the names of the strategies."""


def _domain(name: str) -> _Condition:
    return lambda spec, _: spec.data.domain == name


def _source(name: str) -> _Condition:
    return lambda spec, _: spec.data.source == name


def _filter(kind: str) -> _Condition:
    return lambda spec, names: filter_kind(spec) == kind or kind in names


def _encoders(spec: "Spec") -> list["Encoder"]:
    """Those of the run and of its trials with settings of their own."""
    return [spec.encoder, *(spec.with_own(trial).encoder for trial in spec.trials)]


def _adapt(kind: str) -> _Condition:
    return lambda spec, _: any(encoder.adapt == kind for encoder in _encoders(spec))


def _schedule(table: str, *names: str) -> _Condition:
    return lambda spec, _: attrgetter(table)(spec).schedule in names


_OPTIMIZERS = ("encoder_optimizer", "filter_optimizer", "crcf.optimizer", "nocontent.optimizer")
_ONLY_WHERE: dict[str, _Condition] = {
    "turn_s": lambda spec, _: spec.schedule == "race",
    "data.dir": lambda spec, _: not spec.data.is_generated,
    "data.unknown_items": _domain("news"),
    "data.protocol": _domain("news"),
    "data.validation_share": lambda spec, _: spec.data.validation == "users",
    "data.test_share": lambda spec, _: spec.data.source not in ("duolingo", "synthetic"),
    "data.cold_items": _domain("knowledge-tracing"),
    "data.seed": lambda spec, _: bool(spec.data.cold_items),
    "data.repeated_answers": _domain("knowledge-tracing"),
    "data.column_names": lambda spec, _: spec.data.source in (NEWS_TABLES, "tables"),
    "data.duolingo": _source("duolingo"),
    "data.synthetic": _source("synthetic"),
    "data.synthetic_answers": _source("synthetic-answers"),
    "ranks": lambda spec, _: spec.ranks.size > 1,
    "encoder.model": lambda spec, _: spec.encoder.model is not None,
    "encoder.revision": lambda spec, _: spec.encoder.model is not None,
    "encoder.layers": lambda spec, _: spec.encoder.model is not None,
    "encoder.adapt": lambda _, names: any(adapts(row_of(name)) for name in names),
    "encoder.freeze": _adapt("freeze"),
    "encoder.lora": _adapt("lora"),
    "encoder.side": _adapt("side"),
    "encoder.cache": lambda spec, _: any(encoder.adapt != "full" for encoder in _encoders(spec)),
    "encoder.cache_gib": lambda spec, _: any(
        encoder.keeps_states and encoder.cache == "auto" for encoder in _encoders(spec)
    ),
    "encoder.architecture": lambda spec, _: spec.encoder.architecture is not None,
    "encoder.pooling_query": lambda spec, _: spec.encoder.pooling.endswith("attention"),
    "filter.history": _domain("news"),
    "filter.sequence": _domain("knowledge-tracing"),
    "filter.nrms": _filter("nrms"),
    "filter.naml": _filter("naml"),
    "filter.sasrec": _filter("sasrec"),
    "filter.lstm": _filter("lstm"),
    "filter.sakt": _filter("sakt"),
    "filter.lstm.masks": lambda spec, _: spec.filter.lstm.dropout > 0,
    **{f"{table}.warmup_steps": _schedule(table, "noam") for table in _OPTIMIZERS},
    **{f"{table}.warmup_share": _schedule(table, "linear", "cosine") for table in _OPTIMIZERS},
    "multi_step.table_lr": lambda spec, _: spec.multi_step.table_optimizer != "relative",
    "multi_step.relative_lr": lambda spec, names: (
        spec.multi_step.table_optimizer == "relative"
        or (spec.multi_step.table_optimizer == "auto" and "gram-auto" in names)
    ),
    "words.dropout": lambda _, names: "nrms" in names,
    "language_model.model": lambda spec, _: spec.language_model.model is not None,
    "language_model.revision": lambda spec, _: spec.language_model.model is not None,
    "language_model.architecture": lambda spec, _: spec.language_model.architecture is not None,
    "training.negatives": _domain("news"),
    "training.strategies": lambda spec, _: not spec.trials,
    "training.order": lambda spec, _: len(spec.training.seeds) * spec.training.repeats > 1,
    "training.decide": lambda spec, _: spec.training.until_decided is not None,
    "evaluation.test": lambda spec, _: not spec.evaluation.test,
    "tune": lambda spec, _: bool(spec.tune.space),
    "trials": lambda spec, _: bool(spec.trials),
}
"""Settings and tables that are read only under a condition."""
_OF_STRATEGIES = {key for row in ROWS for key in row.reads}
"""Settings and tables that not every strategy reads."""


def is_read(spec: "Spec", key: str, strategies: Sequence[str] | None = None) -> bool:
    """Whether a run reads a setting.

    Args:
        spec: of the run.
        key: dotted.
        strategies: only these of the run's.
    """
    names = frozenset(spec.training.strategies if strategies is None else strategies)
    tables = [*_tables(key)]
    if not all(_ONLY_WHERE[table](spec, names) for table in tables if table in _ONLY_WHERE):
        return False
    rows = [row_of(name) for name in names]
    return _OF_STRATEGIES.isdisjoint(tables) or any(_reads(row, tables) for row in rows)


def settings_read(spec: "Spec") -> Iterator[tuple[str, Any, str]]:
    """Every setting that a run reads: dotted key, value, meaning."""
    return (row for row in settings(spec) if is_read(spec, row[0]))


def _reads(row: StrategyRow, tables: Sequence[str]) -> bool:
    return not set(row.reads).isdisjoint(tables)


def _tables(key: str) -> Iterator[str]:
    """A dotted key and the tables that it is in."""
    yield key
    while "." in key:
        key = key.rpartition(".")[0]
        yield key
