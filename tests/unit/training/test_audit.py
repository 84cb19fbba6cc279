"""The audit: says yes to the real strategies, and no to every strategy that is a little off."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import CAUSAL, ENCODERS, encoder_of, saved_model
from tiny_systems import CPU, HEADS, LR, QUERY, encoder_spec, make_part, tiny_data

from grambench.config.networks import Filter
from grambench.config.optimizer import Optimizer
from grambench.config.spec import Audit, Spec, Training
from grambench.domains.news.batch import NewsBatch
from grambench.domains.prepared import Prepared
from grambench.errors import ConfigError, DataError
from grambench.events.types import AuditFinished
from grambench.models.encoders.text import TextEncoder
from grambench.models.filters import FACTORIES
from grambench.models.filters.sasrec import SASRec
from grambench.training import audit as module
from grambench.training.audit import audit
from grambench.training.protocols import Batch, StepResult
from grambench.training.strategies import e2e, single_step
from grambench.training.strategies.single_step import SingleStep
from grambench.views.console import self_words

SPEC = Spec(
    encoder=encoder_spec(dropout=0.2),
    filter=Filter(history=5, nrms={"heads": HEADS, "query": QUERY}),
    encoder_optimizer=Optimizer(lr=LR),
    training=Training(negatives=3, batch_size=6),
    audit=Audit(users=8),
)


def audited(data: Prepared | None = None) -> AuditFinished:
    return audit(SPEC, data or tiny_data(), CPU)


def test_real_strategies_are_equivalent_even_where_the_run_has_dropout() -> None:
    found = audited()
    assert found.equivalent
    assert max(found.encoder_absolute, found.filter_absolute) <= found.tolerance == 1e-10
    assert found.users == 8
    assert found.unique_items < found.occurrences
    assert found.note == ""


class Forgetful(SASRec):
    """Does not say that its loss reads other users."""

    loss = SASRec.in_batch_loss


def test_a_loss_that_reads_other_users_must_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    filter_ = Filter(kind="sasrec", history=5, sasrec={"negatives": "in-batch"})
    spec = SPEC.model_copy(update={"filter": filter_})
    found = audit(spec, tiny_data(), CPU)
    assert found.equivalent
    assert max(found.encoder_absolute, found.filter_absolute) <= found.tolerance == 1e-10
    monkeypatch.setitem(FACTORIES, "sasrec", lambda _, width: Forgetful(width, 1, HEADS, 5))
    assert not audit(spec, tiny_data(), CPU).equivalent


def audited_checkpointed() -> AuditFinished:
    strategies = SPEC.training.model_copy(update={"strategies": ("e2e", "e2e-gc")})
    return audit(SPEC.model_copy(update={"training": strategies}), tiny_data(), CPU)


def test_checkpointing_is_audited_in_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    found = audited_checkpointed()
    (gc,) = found.plugins
    assert (gc["strategy"], gc["package"], gc["equivalent"]) == ("e2e-gc", "", True)
    assert max(gc["encoder_relative"], gc["filter_relative"]) <= found.tolerance == 1e-10
    monkeypatch.setattr(TextEncoder, "checkpoint_layers", lambda self: setattr(self, "word_scale", 1 + 1e-6))
    wrong = audited_checkpointed()
    assert wrong.equivalent
    assert wrong.unequal == ["e2e-gc"]
    assert not wrong.passed


@pytest.mark.parametrize(("family", "precision"), [("albert", "fp32"), ("bert", "bf16-weights")])
def test_a_model_without_checkpointing_is_refused_before_training(
    family: str, precision: str, tmp_path: Path
) -> None:
    encoder = encoder_of(saved_model(ENCODERS[family], tmp_path)).model_copy(update={"precision": precision})
    training = SPEC.training.model_copy(update={"strategies": ("e2e-gc",)})
    with pytest.raises(ConfigError, match=r"e2e-gc (needs|cannot)") as refused:
        audit(SPEC.model_copy(update={"encoder": encoder, "training": training}), tiny_data(), CPU)
    assert refused.value.fix


def scaled(function: Callable[..., None], factor: float) -> Callable[..., None]:
    return lambda system, vectors, gradient: function(system, vectors, gradient * factor)


@pytest.mark.parametrize("strategy", [single_step, e2e])
def test_gradient_scaled_by_a_millionth_is_not_equivalent(
    strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy, "encoder_backward", scaled(strategy.encoder_backward, 1 + 1e-6))
    found = audited()
    assert not found.equivalent
    assert found.encoder_relative == pytest.approx(1e-6, rel=1e-2)
    assert found.filter_absolute <= 1e-10


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    """A model that computes norms and rotations in fp32 whatever its weights are."""
    folder = saved_model(CAUSAL["llama"], tmp_path_factory.mktemp("llama"))
    return SPEC.model_copy(update={"encoder": encoder_of(folder)})


def test_a_model_with_fp32_inside_is_held_to_what_it_repeats_itself(llama: Spec) -> None:
    found = audit(llama, tiny_data(), CPU)
    assert found.equivalent
    assert 1e-10 < found.encoder_relative <= found.tolerance
    assert 1e-9 < found.self_relative < 1e-6
    assert found.tolerance == min(1e-5, 10 * found.self_relative)
    assert re.fullmatch(r"; the model repeats itself to \de-\d", self_words(found))


@pytest.mark.parametrize("strategy", [single_step, e2e])
@pytest.mark.parametrize("factor", [1 + 1e-3, 1 + 1e-4])
def test_a_real_difference_of_a_model_with_fp32_inside_is_not_equivalent(
    strategy: Any, factor: float, llama: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy, "encoder_backward", scaled(strategy.encoder_backward, factor))
    found = audit(llama, tiny_data(), CPU)
    assert not found.equivalent
    assert found.encoder_relative == pytest.approx(factor - 1, rel=2e-2)


def test_one_gradient_a_thousandth_too_large_is_not_equivalent(
    llama: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = SingleStep.gradients

    def off(strategy: SingleStep, batch: Batch) -> StepResult:
        result = honest(strategy, batch)
        gradients = [p.grad for p in strategy.system.encode.encoder.parameters()]
        max(gradients, key=lambda gradient: gradient.abs().max()).mul_(1 + 1e-3)
        return result

    monkeypatch.setattr(SingleStep, "gradients", off)
    found = audit(llama, tiny_data(), CPU)
    assert not found.equivalent
    assert found.tolerance <= 1e-5


@pytest.mark.parametrize(
    ("measured", "tolerance"), [(None, 1e-10), (1e-16, 1e-10), (3e-8, 3e-7), (1e-3, 1e-5)]
)
def test_the_tolerance_follows_the_model_within_bounds(measured: float | None, tolerance: float) -> None:
    assert module.tolerance_of(measured) == pytest.approx(tolerance)


def test_an_exact_model_is_not_measured_and_a_difference_of_it_keeps_the_tolerance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert audited().self_relative is None
    assert self_words(audited()) == ""
    monkeypatch.setattr(single_step, "encoder_backward", scaled(single_step.encoder_backward, 1 + 1e-8))
    found = audited()
    assert found.self_relative < 1e-12
    assert (found.equivalent, found.tolerance) == (False, 1e-10)


def test_padding_that_is_trained_on_is_not_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that reads padding as clicks on item 0."""
    honest = NewsBatch.unique

    def padded(batch: NewsBatch) -> object:
        view = honest(batch)
        object.__setattr__(view, "mask_BH", torch.ones_like(view.mask_BH))
        return view

    monkeypatch.setattr(NewsBatch, "unique", padded)
    assert not audited().equivalent


def test_item_left_out_is_not_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = single_step.encoder_backward

    def forgets(system: object, vectors: torch.Tensor, gradient: torch.Tensor) -> None:
        gradient = gradient.clone()
        gradient[gradient.abs().sum(dim=1).argmax()] = 0
        honest(system, vectors, gradient)

    monkeypatch.setattr(single_step, "encoder_backward", forgets)
    assert not audited().equivalent


@pytest.mark.parametrize("place", [0, -1])
def test_gradient_that_is_nan_is_not_equivalent(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = module._gradients

    def broken(*arguments: object) -> dict[str, list[torch.Tensor]]:
        taken = honest(*arguments)
        taken["encoder"][place] = torch.full_like(taken["encoder"][place], math.nan)
        return taken

    monkeypatch.setattr(module, "_gradients", broken)
    found = audited()
    assert not found.equivalent
    assert found.encoder_absolute == math.inf


def test_users_are_left_out_until_the_batch_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 200)
    found = audited()
    assert found.equivalent
    assert 1 <= found.users < 8
    assert found.note == f"cut from 8 to {found.users} users"


def test_users_are_taken_twice_where_nothing_repeats() -> None:
    data = tiny_data()
    data.parts["train"] = make_part([[1, 2], [3]], [[4, 5], [6, 7]], [[1, 0], [1, 0]])
    spec = SPEC.model_copy(update={"training": Training(negatives=1)})
    found = audit(spec, data, CPU)
    assert found.equivalent
    assert (found.users, found.occurrences, found.unique_items) == (4, 14, 7)
    assert found.note == "no item repeated, so every user was taken twice"


def test_data_without_a_sample_is_a_data_error() -> None:
    data = tiny_data()
    data.parts["train"] = make_part([[1]], [[2, 3]], [[0, 0]])
    with pytest.raises(DataError, match="no impression with both a clicked and an unclicked"):
        audited(data)


def test_every_way_of_adapting_the_encoder_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"full": {}, "freeze": {"adapt": "freeze"}, "side": {"adapt": "side"}, "lora": {"adapt": "lora"}}
    trials = [
        {"label": kind, "strategy": "gram-1s", **{f"encoder.{key}": value for key, value in own.items()}}
        for kind, own in kinds.items()
    ]
    spec = Spec.model_validate({**SPEC.model_dump(), "trials": tuple(trials)})
    found = audit(spec, tiny_data(), CPU)
    assert found.equivalent
    assert [each["adapt"] for each in found.adapts] == list(kinds)
    assert max(each["encoder_relative"] for each in found.adapts) == found.encoder_relative <= 1e-10

    honest = SingleStep.gradients

    def off(strategy: SingleStep, batch: Batch) -> StepResult:
        """Wrong with low-rank updates alone."""
        result = honest(strategy, batch)
        for name, parameter in strategy.system.encode.encoder.named_parameters():
            if name.endswith("lora_A"):
                parameter.grad *= 1.001
        return result

    monkeypatch.setattr(SingleStep, "gradients", off)
    found = audit(spec, tiny_data(), CPU)
    assert not found.equivalent
    assert [each["adapt"] for each in found.adapts if not each["equivalent"]] == ["lora"]
