"""What a trial's plan says before the clock starts."""

import pytest
from tiny_systems import CPU, ITEMS, WIDTH, encoder_spec, news_sampler, random_part, tiny_data

from grambench.config.spec import Filter, Spec, Training
from grambench.training.memory import GraphPlan
from grambench.training.strategies import make_strategy
from grambench.training.system import build_system, residency
from grambench.worker.planning import planned


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
    training = Training(free_rows=rule)
    spec = Spec(encoder=encoder_spec(), filter=Filter(heads=4, query=8), training=training)
    data, sampler, plan = tiny_data(), news_sampler(random_part()), GraphPlan(4, None, "it fits")
    system, modules = build_system(spec, data, CPU, seed=0, strategy=name)
    strategy = make_strategy(
        name, system, sampler, multi_step=spec.multi_step, micro_batch=4, encoder_chunk=None, seed=0
    )
    kept = residency(spec, data)
    assert planned(spec, name, 0, sampler, strategy, plan, system, modules, kept, "off").why == wanted
