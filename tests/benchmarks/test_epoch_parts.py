"""An epoch of gram-1e and its parts: what is trained, what is counted, what is left alone."""

import numpy as np
import pytest
import torch

from benchmarks.epoch_parts import Parts, WholeEpoch, seconds_of, step_seconds
from benchmarks.trials import Trial, prepared, spec_of, trial
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared

PROBED = 40


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Spec, Prepared]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        spec = spec_of(
            "demo-kt",
            "data.synthetic_answers.items=120",
            "data.synthetic_answers.students=200",
            "data.synthetic_answers.answers_mean=10",
            "data.cold_items=5",
            "encoder.architecture.hidden_size=16",
            "encoder.architecture.layers=1",
        )
        return spec, prepared(spec)


@pytest.fixture
def made(small: tuple[Spec, Prepared]) -> Trial:
    return trial("gram-1e", *small)


def weights(made: Trial) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in made.modules.state_dict().items()}


def changed(before: dict[str, torch.Tensor], made: Trial) -> set[str]:
    """The modules with a weight that differs."""
    after = made.modules.state_dict()
    return {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}


def test_an_epoch_is_trained_whole_and_its_parts_add_up(made: Trial) -> None:
    epoch, before = WholeEpoch(made), weights(made)
    seconds = epoch(), epoch()
    steps = made.sampler.steps_per_epoch
    assert changed(before, made) == {"encoder", "filter"}
    assert [window.steps for window in epoch.windows] == [steps, steps]
    assert (len(epoch.losses), epoch.step) == (2 * steps, 2 * steps)
    for parts, whole, encode_s in zip(epoch.parts, seconds, epoch.encode_s, strict=True):
        assert sum(parts) == pytest.approx(whole)
        assert 0 < encode_s < whole


def test_the_clock_runs_during_the_work_only(made: Trial) -> None:
    running: list[bool] = []
    clock = made.system.clock
    found = seconds_of(made, lambda: running.append(clock.running))
    assert running == [True]
    assert not clock.running
    assert found == clock.read()[0]


def test_steps_are_taken_one_after_the_other(made: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(made.strategy, "step", lambda batch: taken.append(batch.step))
    assert len(step_seconds(made, range(1, 4))) == 3
    assert taken == [1, 2, 3]


def test_probes_of_the_encoder_change_no_weight(made: Trial) -> None:
    parts, before, counts = Parts(made, 2, PROBED), weights(made), made.system.encode.counts
    parts.bare_pass()
    parts.training_pass()
    parts.e2e_pass()
    assert counts.items == 2 * PROBED + made.spec.multi_step.encoder_batch
    assert changed(before, made) == set()
    assert all(p.grad is None or not p.grad.any() for p in made.modules.encoder.parameters())


def test_a_probe_of_the_filter_encodes_nothing(made: Trial) -> None:
    parts, before = Parts(made, 2, PROBED), weights(made)
    parts.cf_only(0)
    assert made.system.encode.counts.items == 0
    assert changed(before, made) == {"filter"}
    assert made.system.filter_optimizer.steps == 2


def test_probes_are_scaled_to_the_epoch(made: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tokens of the items, and by the number of steps."""
    monkeypatch.setattr("benchmarks.epoch_parts.seconds_of", lambda _made, _work: 1.0)
    parts, lengths = Parts(made, 2, PROBED), made.system.encode.tokens.lengths
    assert len(np.unique(parts.probed)) == PROBED
    share = lengths[parts.items].sum() / lengths[parts.probed].sum()
    assert parts.bare_pass() == parts.training_pass() == pytest.approx(share)
    assert parts.cf_only(0) == made.sampler.steps_per_epoch / 2
    at_once = Parts(made, 2, PROBED, 3 * PROBED + 1)
    repeated = 3 * lengths[at_once.probed].sum() + lengths[at_once.probed[0]]
    assert at_once.e2e_pass() == pytest.approx(lengths[at_once.items].sum() / repeated)


def test_a_probe_takes_no_more_than_the_epoch_has(made: Trial) -> None:
    parts = Parts(made, 10**6, 10**6)
    assert parts.probed_steps == made.sampler.steps_per_epoch
    assert sorted(parts.probed) == parts.items.tolist()
    assert parts.scale == 1.0
