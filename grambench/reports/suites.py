"""Tables 4 to 6 and Figure 4 of the GRAM paper (NAACL 2022) as runs, with its numbers beside ours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grambench.reports.trial_schema import Trial

Cells = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of a table, in the paper's unit."""

    head: str
    of: Callable[[Trial], float | None]
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """A system, and the settings of its run beyond the preset's."""

    label: str
    strategy: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """A table of the paper."""

    title: str
    presets: tuple[str, ...]
    rows: tuple[Row, ...]
    measures: tuple[Measure, ...]
    published: dict[tuple[str, str], Cells]
    """(preset, row's label) -> the paper's figures, one per measure."""
    rows_of: dict[str, tuple[str, ...]]
    """Labels of a preset's rows, if it does not have all of them."""
    has_figure: bool = False
    """Each run's validation score over training time is drawn, too."""

    def rows_for(self, preset: str) -> list[Row]:
        """The rows that the table has for a preset."""
        wanted = self.rows_of.get(preset)
        return [row for row in self.rows if wanted is None or row.label in wanted]


def grouped(rows: Iterable[Row]) -> dict[tuple[str, ...], list[str]]:
    """Settings -> the strategies that one run trains with these."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        runs.setdefault(row.settings, []).append(row.strategy)
    return runs


def _percent(name: str) -> Callable[[Trial], float | None]:
    def read(trial: Trial) -> float | None:
        value = getattr(trial.test, name) if trial.test else None
        return None if value is None else 100 * float(value)

    return read


def _speed_up(trial: Trial) -> float | None:
    """Training seconds to the best checkpoint, e2e's over the trial's."""
    return 1.0 if trial.strategy == "e2e" else trial.speedups["e2e"].train_s_to_best


def _best_validation(trial: Trial) -> float | None:
    value = trial.best_validation.auc if trial.best_validation else None
    return None if value is None else 100 * value


def _minutes(trial: Trial) -> float | None:
    seconds = trial.times.train_s_to_best
    return None if seconds is None else seconds / 60


def _gigabytes(trial: Trial) -> float | None:
    peak = trial.memory.torch_peak_reserved_bytes
    return None if peak is None else peak / 1e9


def _rows(*strategies: str) -> tuple[Row, ...]:
    return tuple(Row(name, name) for name in strategies)


_GRAM = _rows("e2e", "gram-1s", "gram-10s", "gram-0.5e", "gram-1e")
_SPEED = (Measure("speed-up", _speed_up), Measure("minutes", _minutes))

TABLE_4 = Suite(
    title="Table 4: knowledge tracing",
    presets=("ednet", "duolingo-fr", "duolingo-es", "poj"),
    rows=(*_GRAM, *_rows("crcf-1s", "crcf-1e", "eernn", "lm-kt", "nofinetune", "nocontent")),
    measures=(Measure("AUC", _percent("auc")), Measure("CSAUC", _percent("csauc")), *_SPEED),
    published={
        ("ednet", "e2e"): (75.7, 64.2, 1, 135 * 60),
        ("ednet", "gram-1s"): (76.0, 63.0, 5.7, None),
        ("ednet", "gram-10s"): (75.8, 65.1, 1.7, None),
        ("ednet", "gram-0.5e"): (75.7, 64.7, 26, None),
        ("ednet", "gram-1e"): (75.3, 64.6, 146, None),
        ("ednet", "eernn"): (75.8, 62.3, 10, None),
        ("ednet", "nofinetune"): (69.1, 64.3, 343, None),
        ("ednet", "nocontent"): (74.4, 49.4, 2547, None),
        ("duolingo-fr", "e2e"): (74.8, 74.7, 1, 39),
        ("duolingo-fr", "gram-1s"): (75.0, 75.0, 3.3, None),
        ("duolingo-fr", "gram-10s"): (74.2, 73.2, 3.5, None),
        ("duolingo-fr", "gram-0.5e"): (74.1, 73.2, 4.3, None),
        ("duolingo-fr", "gram-1e"): (74.4, 73.3, 7.8, None),
        ("duolingo-fr", "crcf-1s"): (74.7, 73.0, 1.0, None),
        ("duolingo-fr", "crcf-1e"): (74.4, 72.9, 1.8, None),
        ("duolingo-fr", "eernn"): (74.0, 71.3, 1.2, None),
        ("duolingo-fr", "lm-kt"): (74.3, 74.7, 0.3, None),
        ("duolingo-fr", "nofinetune"): (71.4, 69.4, 9.8, None),
        ("duolingo-fr", "nocontent"): (67.0, 49.5, 13.0, None),
        ("duolingo-es", "e2e"): (75.1, 68.7, 1, 74),
        ("duolingo-es", "gram-1s"): (75.1, 68.3, 3.5, None),
        ("duolingo-es", "gram-10s"): (74.4, 67.2, 2.1, None),
        ("duolingo-es", "gram-0.5e"): (74.4, 67.0, 2.8, None),
        ("duolingo-es", "gram-1e"): (74.7, 67.0, 5.7, None),
        ("duolingo-es", "crcf-1s"): (74.9, 66.2, 1.2, None),
        ("duolingo-es", "crcf-1e"): (74.3, 66.3, 2.1, None),
        ("duolingo-es", "eernn"): (74.3, 66.3, 1.6, None),
        ("duolingo-es", "lm-kt"): (74.6, 68.7, 0.5, None),
        ("duolingo-es", "nofinetune"): (72.5, 66.2, 24.7, None),
        ("duolingo-es", "nocontent"): (67.0, 49.3, 37.0, None),
        ("poj", "e2e"): (None, None, 1, 123),
        ("poj", "gram-1s"): (None, None, 4.5, None),
        ("poj", "gram-10s"): (None, None, 3.8, None),
        ("poj", "gram-0.5e"): (None, None, 9.1, None),
        ("poj", "gram-1e"): (None, None, 12.5, None),
    },
    rows_of={"poj": ("e2e", "gram-1s", "gram-10s", "gram-0.5e", "gram-1e")},
)

TABLE_5 = Suite(
    title="Table 5: news recommendation",
    presets=("mind-large", "mind-large-body"),
    rows=(*_GRAM, *_rows("nrms", "speedyfeed", "nofinetune")),
    measures=(
        Measure("AUC", _percent("auc")),
        Measure("MRR", _percent("mrr")),
        Measure("nDCG@5", _percent("ndcg_at_5")),
        Measure("nDCG@10", _percent("ndcg_at_10")),
        *_SPEED,
    ),
    published={
        ("mind-large", "e2e"): (68.9, 33.3, 36.8, 43.2, 1, 10.4 * 60),
        ("mind-large", "gram-1s"): (69.0, 33.5, 37.1, 43.4, 2.5, None),
        ("mind-large", "gram-10s"): (68.6, 33.7, 37.3, 43.4, 1.9, None),
        ("mind-large", "gram-0.5e"): (68.7, 32.9, 36.2, 42.7, 13.5, None),
        ("mind-large", "gram-1e"): (68.7, 33.1, 36.6, 42.8, 17.3, None),
        ("mind-large", "nrms"): (67.2, 33.3, 35.5, 42.0, 13.9, None),
        ("mind-large", "speedyfeed"): (68.3, 33.4, 36.6, 43.0, 2.0, None),
        ("mind-large", "nofinetune"): (66.8, 32.4, 35.7, 41.9, 33.5, None),
        ("mind-large-body", "gram-0.5e"): (69.6, 34.0, 37.6, 44.0, 45, None),
        ("mind-large-body", "gram-1e"): (69.3, 34.1, 37.8, 44.0, 56, None),
    },
    rows_of={"mind-large-body": ("gram-0.5e", "gram-1e")},
)

_FEW = ("training.max_steps=50", "training.batch_size=4")
TABLE_6 = Suite(
    title="Table 6: GPU memory at a batch of 4",
    presets=("ednet", "mind-large-body"),
    rows=(
        Row("e2e", "e2e", (*_FEW, "training.micro_batch=4")),
        Row("gram-1e, encoder batch 8", "gram-1e", (*_FEW, "multi_step.encoder_batch=8")),
        Row("gram-1e, encoder batch 32", "gram-1e", (*_FEW, "multi_step.encoder_batch=32")),
    ),
    measures=(Measure("GB", _gigabytes),),
    published={
        ("ednet", "e2e"): (38.6,),
        ("ednet", "gram-1e, encoder batch 8"): (4.8,),
        ("ednet", "gram-1e, encoder batch 32"): (6.5,),
        ("mind-large-body", "e2e"): (38.4,),
        ("mind-large-body", "gram-1e, encoder batch 8"): (5.1,),
        ("mind-large-body", "gram-1e, encoder batch 32"): (14.1,),
    },
    rows_of={},
)

FIGURE_4 = Suite(
    title="Figure 4: validation AUC over training time",
    presets=("duolingo-fr", "duolingo-es", "poj"),
    rows=_GRAM,
    measures=(Measure("best validation AUC", _best_validation), Measure("minutes", _minutes)),
    published={},
    rows_of={},
    has_figure=True,
)
"""Curves alone: the paper prints no numbers with it. Of its three plots the text names Spanish; these are the
smallest data sets."""

SUITES = {"table4": TABLE_4, "table5": TABLE_5, "table6": TABLE_6, "figure4": FIGURE_4}
