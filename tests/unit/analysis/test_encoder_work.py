"""The factors of the encoder's work against counts by hand: 12 layers, 100 samples of up to 10 items."""

from math import prod
from typing import Any

import pytest

from grambench.analysis.encoder_work import break_even_epochs, encoder_work
from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.events import types as ev
from grambench.events.state import TrialState

LAYERS = 12
SPEC = Spec.model_validate(
    {
        "encoder": {"architecture": {}},
        "filter": Filter(nrms={"heads": 4, "query": 8}, history=7),
        "training": {"negatives": 2},
        "multi_step": {"encoder_passes": 2},
    }
)
OCCURRENCES, DISTINCT, IN_WINDOWS = 800, 200, 40


def cached(rows: int = 600) -> ev.StatesCached:
    return ev.StatesCached(60, rows, 8, 9600, "float16", True, 1.5, True)


def trial(strategy: str, unique: int, encoded: int, cache: bool = False, **plan: Any) -> TrialState:
    counts = 100, OCCURRENCES, unique, encoded, 10 * encoded
    seen = ev.Progress(1, 9, 9.0, 4.0, *counts, None, 0.1, 0.1, batch_items=DISTINCT)
    fields = {"layers": LAYERS, "window_steps": 1} | plan
    planned = ev.TrialPlanned(strategy, 0, 9, 9, 8, encoder_parameters=1, filter_parameters=1, **fields)
    states = cached() if cache else None
    return TrialState(f"{strategy}.s0", strategy, 0, plan=planned, settled=seen, states=states)


FROZEN = {"adapt": "freeze", "frozen_layers": 10}
WINDOW = {"window_steps": 3}
LORA = {"adapt": "lora"}
CASES: dict[str, tuple[TrialState, float]] = {
    "e2e": (trial("e2e", OCCURRENCES, 800), 800 * 36),
    "e2e-gc": (trial("e2e-gc", OCCURRENCES, 800), 800 * 48),
    "e2e-gc, frozen layers run in each step once": (
        trial("e2e-gc", OCCURRENCES, 800, **FROZEN),
        800 * (10 + 6 + 2),
    ),
    "gram-1s": (trial("gram-1s", DISTINCT, 200), 200 * 36),
    "gram-1s in chunks": (trial("gram-1s", DISTINCT, 400), 200 * 36 + 200 * 12),
    "gram-1s in chunks, frozen": (trial("gram-1s", DISTINCT, 400, **FROZEN), 200 * (10 + 6) + 200 * 12),
    "gram-1s in chunks, cached": (trial("gram-1s", DISTINCT, 400, True, **FROZEN), 200 * 6 + 200 * 2),
    "gram-3s, two passes": (trial("gram-3s", IN_WINDOWS, 120, **WINDOW), 80 * 36 + 40 * 12),
    "gram-3s, frozen": (trial("gram-3s", IN_WINDOWS, 120, **WINDOW, **FROZEN), 80 * 16 + 40 * 12),
    "lora": (trial("gram-1s", DISTINCT, 200, **LORA), 200 * 24),
    "lora, e2e-gc": (trial("e2e-gc", OCCURRENCES, 800, **LORA), 800 * 36),
    "speedyfeed": (trial("speedyfeed", 150, 150), 150 * 36),
    "none, in each step": (trial("gram-1s", DISTINCT, 200, adapt="none", frozen_layers=LAYERS), 200 * 12),
}


@pytest.mark.parametrize("case", CASES)
def test_the_factors_multiply_to_the_work_counted_by_hand(case: str) -> None:
    counted, work = CASES[case]
    found = encoder_work(SPEC, counted)
    assert found is not None
    assert found.padding == 100 * (7 + 1 + 2) / OCCURRENCES
    assert found.product == pytest.approx(100 * 10 * 3 * LAYERS / work, rel=1e-12)
    assert prod(found.factors()) == found.product


def test_each_saving_has_its_factor() -> None:
    found = encoder_work(SPEC, trial("gram-3s", IN_WINDOWS, 120, True, **WINDOW, **FROZEN))
    assert found is not None
    assert found.factors() == pytest.approx((1.25, 36 / 16, 16 / 6, 4.0, 5.0, 40 * 6 / (80 * 6 + 40 * 2)))
    speedyfeed = encoder_work(SPEC, trial("speedyfeed", 150, 150))
    assert speedyfeed is not None
    assert (speedyfeed.repeated_items, speedyfeed.windows) == (4.0, 200 / 150)


def test_what_the_counters_do_not_tell_is_not_claimed() -> None:
    candidates = encoder_work(SPEC, trial("e2e-cand", DISTINCT, 200))
    side = encoder_work(SPEC, trial("e2e", OCCURRENCES, 800, True, adapt="side", frozen_layers=LAYERS))
    for found in (candidates, side):
        assert found is not None
        assert found.recomputation is found.product is None
    assert encoder_work(SPEC, trial("nofinetune", 60, 60, frozen_layers=LAYERS)) is None


@pytest.mark.parametrize(("tokens", "epochs"), [(300, 2.0), (1200, 0.5)])
def test_a_cache_breaks_even_when_an_epoch_has_encoded_as_many_tokens(tokens: int, epochs: float) -> None:
    state = trial("gram-1s", DISTINCT, 200, True, **FROZEN)
    assert break_even_epochs(state) is None
    state.epochs.append(ev.EpochFinished(1, 9, 1.0, 100, OCCURRENCES, DISTINCT, 200, tokens))
    assert break_even_epochs(state) == epochs
