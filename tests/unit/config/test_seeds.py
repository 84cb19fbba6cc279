"""Seeds in words, repeats, and runs until they are decided: what the command line may say."""

import pytest

from grambench.analysis.paired import FEWEST_FOR_SIGN_FLIP, MOST_SEEDS
from grambench.cli.settings import Options
from grambench.config.kept import read_kept
from grambench.config.presets import load_preset
from grambench.config.seeds import seeds_of
from grambench.config.spec import FEWEST_LOOKED_AT, MOST_LOOKED_AT, Spec
from grambench.errors import ConfigError

TWO = ('training.strategies=["e2e", "gram-1e"]',)


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        ("0..5", (0, 1, 2, 3, 4, 5)),
        ("0..2,9", (0, 1, 2, 9)),
        ("[7, 0 .. 1]", (7, 0, 1)),
        ("3..3", (3,)),
        ("4,2", (4, 2)),
        ("0..999", tuple(range(1000))),
    ],
)
def test_ranges_stand_beside_lists(words: str, seeds: tuple[int, ...]) -> None:
    assert seeds_of(words) == seeds
    assert load_preset("demo", [f"training.seeds={words}"]).training.seeds == seeds
    assert Options(seeds=words).resolve("demo").training.seeds == seeds


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("5..0", "the range '5..0' runs backwards; write 0..5"),
        ("a..b", "'a..b' is neither a seed nor a range; write 0,1,2 or 0..5, both ends included"),
        ("0..", "'0..' is neither a seed nor a range"),
        ("1,,2", "'' is neither a seed nor a range"),
        ("-1", "'-1' is neither a seed nor a range"),
        ("0...5", "'0...5' is neither a seed nor a range"),
        ("1'2", "neither a seed nor a range"),
        ("0..1000", "these are 1,001 seeds, and a run has at most 1,000; name fewer"),
        ("0..999,5000", "these are 1,001 seeds"),
        ("0..9999999999", "these are 10,000,000,000 seeds"),
        ("0..5,3", "each once"),
        ("9999999999", "less than 2,147,483,648"),
    ],
)
def test_nonsense_is_one_sentence(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Options(seeds=words).resolve("demo")
    assert refused.value.exit_code == 2
    assert str(refused.value).startswith("command line: training.seeds: ")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_until_decided_takes_the_first_seeds_and_is_kept_so() -> None:
    spec = Options(until_decided=8, decide="gram-1e").resolve("demo")
    assert spec.training.seeds == tuple(range(8))
    assert spec.evaluation.margin_auc == 0.002
    assert read_kept(spec.model_dump(mode="json")) == spec
    assert (FEWEST_LOOKED_AT, MOST_LOOKED_AT) == (FEWEST_FOR_SIGN_FLIP, MOST_SEEDS)


def test_of_seeds_and_until_decided_the_later_file_wins(tmp_path) -> None:
    path = tmp_path / "many.toml"
    path.write_text('extends = "demo"\ntraining.seeds = "0..2"\n')
    assert load_preset(str(path), ["training.until_decided=7"]).training.seeds == tuple(range(7))
    path.write_text('extends = "demo"\ntraining.until_decided = 7\n')
    spec = load_preset(str(path), ["training.seeds=[4]"])
    assert (spec.training.seeds, spec.training.until_decided) == ((4,), None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Options(seeds="0..2", until_decided=20), "runs the seeds 0..19; leave training.seeds out"),
        (Options(until_decided=5), "must be at least 6, not 5"),
        (Options(until_decided=31), "must be at most 30, not 31"),
        (Options(strategies="gram-1e,gram-1s", until_decided=8), "run e2e and at least one other strategy"),
        (Options(strategies="e2e", until_decided=8), "run e2e and at least one other strategy"),
        (Options(TWO, until_decided=8, decide="gram-1s"), "not compared with e2e: name gram-1e"),
        (Options(TWO, until_decided=8, decide="e2e"), "not compared with e2e: name gram-1e"),
        (Options(decide="gram-1e"), "only with training.until_decided"),
        (Options(repeats=0), "must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_decided_is_refused(options: Options, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        options.resolve("demo")
    assert refused.value.exit_code == 2
    assert str(refused.value).startswith("command line: training.")
    assert sentence in str(refused.value)


def test_an_older_specification_keeps_its_order() -> None:
    written = Spec().model_dump(mode="json")
    assert read_kept(written).training.order == "turned"
    del written["training"]["order"]
    assert read_kept(written).training.order == "same"
