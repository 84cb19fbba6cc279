"""What a trial builds before it trains."""

import dataclasses
from types import SimpleNamespace

import pytest
from tiny_systems import CPU, HEADS, QUERY, encoder_spec, tiny_data

from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.training.system import build_system, placement
from grambench.worker import trial


@pytest.mark.parametrize("is_one_part", [False, True])
def test_a_part_that_serves_twice_is_kept_once(is_one_part: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, data = (
        Spec(encoder=encoder_spec(), filter=Filter(nrms={"heads": HEADS, "query": QUERY})),
        tiny_data(),
    )
    if is_one_part:  # the paper's protocol
        data = dataclasses.replace(data, parts={**data.parts, "validation": data.parts["test"]})
    made = []

    def make_evaluator(*given: object) -> object:
        made.append(honest(*given))
        return made[-1]

    honest = trial.make_evaluator
    monkeypatch.setattr(trial, "make_evaluator", make_evaluator)
    system, modules = build_system(spec, data, CPU, seed=0)
    turn = SimpleNamespace(ending=lambda: None)
    evaluate = trial._evaluator(spec, data, system, modules, CPU, placement(spec, data), turn, lambda: None)
    assert len(made) == (1 if is_one_part else 2)
    validation, test = evaluate("validation"), evaluate("test")
    assert (validation.part, test.part) == ("validation", "test")
    assert (validation.metrics == test.metrics) is is_one_part
