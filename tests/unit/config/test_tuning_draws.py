"""`[tune]`: the same draws for every contestant, and what cannot be tuned."""

import json
import math
from pathlib import Path

import pytest

from grambench.cli.preset_tables import listing
from grambench.config.kept import read_kept
from grambench.config.presets import load_preset
from grambench.config.spec import Spec
from grambench.config.trials import TrialEntry
from grambench.config.tune import Range
from grambench.config.tuning import (
    FIRST_SEED,
    TuningPlan,
    drawn,
    final_spec,
    plan_tuning,
    position,
    tuning_spec,
)
from grambench.errors import ConfigError

LR, FILTER_LR, TABLE_LR = "encoder_optimizer.lr", "filter_optimizer.lr", "multi_step.table_lr"


def planned(*sets: str, budget: int = 5, trials: tuple[str, ...] = ()) -> tuple[TuningPlan, Spec]:
    spec = load_preset("demo", sets, trials)
    return plan_tuning(spec, "demo", budget), spec


def test_every_contestant_gets_the_same_numbers_for_what_it_reads() -> None:
    plan, spec = planned()
    e2e, gram_1s, gram_1e = ([drawn(plan, spec, e, j) for j in range(5)] for e in spec.entries)
    assert e2e == gram_1s == [{k: v for k, v in draw.items() if k != TABLE_LR} for draw in gram_1e]
    assert gram_1e[0] == {}
    assert all(set(draw) == {LR, FILTER_LR, TABLE_LR} for draw in gram_1e[1:])
    assert len({draw[LR] for draw in gram_1e[1:]} | {spec.encoder_optimizer.lr}) == 5


def test_draws_lie_in_their_range_apart_from_each_other_and_a_larger_budget_only_adds_some() -> None:
    plan, spec = planned(budget=16)
    assert planned(budget=5)[0].draws == plan.draws[:5]
    for key, own in ((LR, 1e-3), (FILTER_LR, 1e-3), (TABLE_LR, 0.2)):
        where = plan.space[key]
        assert isinstance(where, Range)
        places = sorted(position(where, own, v) % 1 for v in [own, *(d[key] for d in plan.draws[1:])])
        gaps = [b - a for a, b in zip(places, [*places[1:], places[0] + 1], strict=True)]
        assert min(places) >= 0
        assert 1 / 64 < min(gaps) < max(gaps) < 1 / 6
    assert spec.encoder_optimizer.lr / 10 <= min(d[LR] for d in plan.draws[1:])


def test_adapters_find_twenty_times_the_rate_in_the_range() -> None:
    plan, spec = planned(budget=16)
    assert max(draw[LR] for draw in plan.draws[1:]) > 20 * spec.encoder_optimizer.lr


def test_a_contestant_s_own_values_are_its_first_draw_and_change_no_other() -> None:
    words = (f"low: gram-1e, {LR}=1e-4", "high: gram-1e")
    plan, spec = planned(trials=words)
    tuning = tuning_spec(plan, spec)
    settings = {entry.label: entry.settings for entry in tuning.entries}
    assert (settings["low.t0"], settings["high.t0"]) == ({LR: 1e-4}, {})
    assert all(settings[f"low.t{j}"] == settings[f"high.t{j}"] for j in range(1, 5))
    final = final_spec(plan, spec, {"low": 0, "high": 3})
    assert final.entries == (
        TrialEntry(label="low", strategy="gram-1e", settings={LR: 1e-4}),
        TrialEntry(label="high", strategy="gram-1e", settings=plan.draws[3]),
    )


def test_the_tuning_run_scores_no_test_part_and_uses_a_seed_of_its_own() -> None:
    sets = ("training.until_decided=8", "training.decide=gram-1e", "null_test=true", "data.predictions=true")
    plan, spec = planned(*sets, budget=2)
    tuning = tuning_spec(plan, spec)
    assert (tuning.training.seeds, plan.seed, FIRST_SEED in spec.training.seeds) == ((1000,), 1000, False)
    assert (tuning.evaluation.test, tuning.data.predictions, tuning.null_test) == (False, False, False)
    assert (tuning.schedule, spec.schedule, tuning.training.until_decided) == ("sequential", "race", None)
    assert [entry.label for entry in tuning.entries] == [
        f"{label}.t{draw}" for label in ("e2e", "gram-1s", "gram-1e") for draw in range(2)
    ]
    final = final_spec(plan, spec, {"e2e": 0, "gram-1s": 1, "gram-1e": 1})
    assert (final.training, final.evaluation.test) == (spec.training, True)
    left = final_spec(plan, spec, {"e2e": 0, "gram-1s": 1})  # what decides was left out
    assert (left.training.until_decided, left.training.seeds) == (None, spec.training.seeds)


def test_a_preset_has_its_space_and_is_printed_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'extends = "demo"\n[tune]\nencoder_optimizer.lr = { low = 1e-5, high = 3e-3 }\n'
        'multi_step = { update = ["walk", "frozen"], encoder_batch = { low = 8, high = 128 } }\n'
        '[training]\nstrategies = ["gram-1e"]\n'
    )
    spec = load_preset(str(path))
    assert list(spec.tune.space) == [LR, "multi_step.update", "multi_step.encoder_batch"]
    path.write_text("\n".join("".join(line) for line in listing(spec, 100)))
    assert load_preset(str(path)).tune == spec.tune
    assert read_kept(json.loads(spec.model_dump_json())) == spec
    wider = load_preset(str(path), ["tune.encoder_optimizer.lr={low=1e-6, high=1e-2}"]).tune.space
    assert (wider[LR], list(wider)) == (Range(low=1e-6, high=1e-2), list(spec.tune.space))
    plan = plan_tuning(spec, "own", 9)
    assert {draw["multi_step.update"] for draw in plan.draws[1:]} == {"walk", "frozen"}
    assert all(type(draw["multi_step.encoder_batch"]) is int for draw in plan.draws[1:])
    assert TuningPlan.model_validate_json(plan.model_dump_json()) == plan
    assert "tune" not in "".join(map("".join, listing(load_preset("demo"), 100)))


def test_positions_are_logarithmic() -> None:
    assert position(Range(low=1e-4, high=1e-2), None, 1e-3) == pytest.approx(0.5)
    assert position(Range(low=0.1, high=10, relative=True), 0.3, 0.3) == pytest.approx(0.5)
    assert math.isclose(position(Range(low=0.1, high=10, relative=True), 0.3, 3.0), 1.0)


@pytest.mark.parametrize(
    ("sets", "budget", "words"),
    [
        ((), 0, "--budget is 0. Give each contestant 1 to 1,000 trials, such as 5."),
        ((), 1001, "--budget is 1001. Give each contestant 1 to 1,000 trials"),
        (("tune.encoder_optimizer.lrr=[1, 2]",), 2, "did you mean 'encoder_optimizer.lr'"),
        (("tune.data.seed=[1, 2]",), 2, "data.seed may not differ between the trials of a run"),
        (("tune.gram_auto.drift=[0.5, 1.0]",), 2, "no contestant reads gram_auto.drift. Remove it"),
        (("tune.multi_step.table_lr=[0.5, 1.0]",), 2, "e2e reads none of the tuned settings."),
        (("tune.encoder_optimizer.lr=[0.1]",), 2, "encoder_optimizer.lr needs two or more choices"),
        (("tune.encoder_optimizer.lr=[0.1, 0.2]",), 4, "[tune] has 3 different draws. Use --budget 3."),
        (("tune.encoder_optimizer.lr={low=0.1, high=0.1001}",), 4, "[tune] has 2 different draws."),
        (
            (
                "encoder_optimizer.schedule='noam'",
                "tune.encoder_optimizer.warmup_steps={low=1.0, high=3.0}",
                "encoder_optimizer.warmup_steps=1",
            ),
            9,
            "[tune] has 3 different draws. Use --budget 3.",
        ),
        (("tune.encoder_optimizer.lr={low=2.0, high=1.0}",), 2, "low = 2 must be below high = 1"),
        (("tune.encoder_optimizer.lr={lo=2.0, high=1.0}",), 2, "low, high, relative, not 'lo'"),
        (
            ("tune.encoder_optimizer.schedule={low=1.0, high=2.0, relative=true}",),
            2,
            "encoder_optimizer.schedule is 'constant', and only a positive number has multiples.",
        ),
        (('data.protocol="paper"',), 2, 'Add --set data.protocol="honest".'),
    ],
)
def test_what_cannot_be_tuned_is_said_in_one_sentence_with_the_mend(
    sets: tuple[str, ...], budget: int, words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(*sets, budget=budget)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_label_that_leaves_no_room_and_a_seed_of_the_final_run_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"called up to 'a-label-of-22-letters-1.t9', and a label has 24"):
        planned(budget=10, trials=("a-label-of-22-letters-1: e2e",))
    with pytest.raises(ConfigError, match=r"Seed 0 is one of the final run's.*another --tune-seed"):
        plan_tuning(load_preset("demo"), "demo", 2, seed=0)
