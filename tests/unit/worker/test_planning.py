"""What a trial's plan says before the clock starts."""

import numpy as np
import pytest
import torch
from tiny_systems import CPU, ITEMS, QUERY, WIDTH, encoder_spec, news_sampler, random_part, tiny_data

from grambench.config.baselines import NoFinetune
from grambench.config.data import Data
from grambench.config.networks import Encoder, Filter
from grambench.config.spec import Engine, MultiStep, Spec, Training
from grambench.config.trial_name import TrialName
from grambench.config.trials import TrialEntry
from grambench.events.types import TrialPlanned
from grambench.models.encoders.packed import PackedRows
from grambench.training.memory_plan import GraphPlan
from grambench.training.strategies import make_strategy
from grambench.training.system import build_system, placement
from grambench.worker.planning import planned, to_compile, use_graphs

TINY = encoder_spec()


@pytest.mark.parametrize(
    ("name", "rule", "wanted"),
    [
        ("gram-1s", "touched", "it fits"),
        ("nocontent", "auto", f"it fits; Adam updates all rows of the free vectors ({ITEMS} x {WIDTH})"),
        (
            "crcf-1s",
            "touched",
            f"it fits; Adam updates only the batch's rows of the free vectors ({ITEMS} x {WIDTH})",
        ),
    ],
)
def test_plan_says_which_rows_of_free_vectors_are_updated(name: str, rule: str, wanted: str) -> None:
    assert plan_of(name, training=Training(free_rows=rule)).why == wanted


def plan_of(name: str, encoder: Encoder = TINY, **changes: object) -> TrialPlanned:
    spec = Spec(encoder=encoder, filter=Filter(nrms={"heads": 4, "query": 8}), **changes)
    data, sampler, plan = tiny_data(), news_sampler(random_part()), GraphPlan(4, None, "it fits")
    system, modules = build_system(spec, data, CPU, seed=0, strategy=name)
    strategy = make_strategy(name, system, sampler, spec=spec, micro_batch=4, encoder_chunk=None, seed=0)
    kept = placement(spec, data)
    entry, trial = TrialEntry(strategy=name), TrialName(name, 0)
    return planned(spec, entry, trial, sampler, strategy, plan, system, modules, kept, "off")


@pytest.mark.parametrize(
    ("pooling", "kept", "pooled"),
    [
        ("attention", "trained", WIDTH * QUERY + 2 * QUERY),
        ("attention", "untrained", 0),
        ("mean", "trained", 0),
    ],
)
def test_nofinetune_trains_no_layer_and_at_most_the_pooling(pooling: str, kept: str, pooled: int) -> None:
    encoder = encoder_spec(pooling=pooling)
    plan = plan_of("nofinetune", encoder, nofinetune=NoFinetune(pooling=kept))
    assert (plan.adapt, plan.layers, plan.frozen_layers, plan.trainable_parameters) == ("none", 2, 2, pooled)
    whole = plan_of("gram-1s", encoder)
    assert (whole.adapt, whole.layers, whole.frozen_layers) == ("full", 2, 0)
    assert whole.trainable_parameters == whole.encoder_parameters


def packed_spec(**changes: object) -> Spec:
    changes = {
        "filter": Filter(nrms={"heads": 4, "query": 8}),
        "multi_step": MultiStep(encoder_batch=8),
        **changes,
    }
    return Spec(encoder=encoder_spec(layout="packed", bucket_tokens=256), **changes)


@pytest.mark.parametrize("name", ["e2e", "gram-1s", "gram-1e", "gram-3s"])
def test_every_shape_that_an_epoch_meets_is_compiled_before_the_clock(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, data, sampler = packed_spec(), tiny_data(), news_sampler(random_part())
    system, _ = build_system(spec, data, CPU, seed=0, strategy=name)
    layout = system.encode.layout
    assert isinstance(layout, PackedRows)
    compiled = {
        (call.shape[0], sample.with_graph)
        for sample in to_compile(spec, name, sampler, system)
        for call, _ in layout.calls(system.encode.tokens, sample.items_N)
    }
    met, honest = set(), layout.calls

    def noted(tokens: object, items_N: np.ndarray):  # type: ignore[no-untyped-def]
        for call, inside_N in honest(tokens, items_N):
            met.add((call.shape[0], torch.is_grad_enabled()))
            yield call, inside_N

    monkeypatch.setattr(layout, "calls", noted)
    strategy = make_strategy(name, system, sampler, spec=spec, micro_batch=6, encoder_chunk=None, seed=0)
    for step in range(sampler.steps_per_epoch):
        strategy.step(sampler.batch(step))
    assert met
    assert met <= compiled


def test_plan_says_which_steps_run_over_fixed_shapes_and_why_others_do_not() -> None:
    def words(spec: Spec) -> str:
        return use_graphs(spec, *build_system(spec, tiny_data(), CPU, seed=0))

    on = Engine(graphs="on")
    assert words(packed_spec()) == "off"  # `auto` on a CPU
    assert words(packed_spec(engine=on)) == "filter steps on; encoder steps at a window's end on"
    buckets = Spec(encoder=encoder_spec(), filter=Filter(nrms={"heads": 4, "query": 8}), engine=on)
    assert words(buckets).endswith("encoder steps at a window's end plain, because items lie in buckets")
    tracing = Data(source="tables")
    drawing = Filter(lstm={"dropout": 0.2, "masks": "torch"})
    assert words(packed_spec(engine=on, data=tracing, filter=drawing)).startswith(
        "filter steps plain, because the filter draws dropout"
    )
    for filter_ in (Filter(), Filter(lstm={"dropout": 0.0, "masks": "torch"})):
        assert words(packed_spec(engine=on, data=tracing, filter=filter_)).startswith("filter steps on")
