"""A run with a compiled encoder: the same training, and the compiler's seconds apart."""

from pathlib import Path

import pytest
from live_runs import Bench, complaint, strict_json

pytestmark = pytest.mark.slow
SETTINGS = ("training.max_steps=4", "encoder.architecture.layers=1")
SHORT = ("--json", "--strategies", "gram-1s", *(word for one in SETTINGS for word in ("--set", one)))
COMPILED = (*SHORT, "--set", "encoder.compile=default")


@pytest.fixture
def fresh(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """The bench with a compiler's cache of its own, so that compiling takes place."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    return bench


@pytest.mark.heavy
def test_compiled_run_trains_the_same_and_reports_the_compiler_s_seconds(fresh: Bench) -> None:
    plain, compiled = (fresh.run(*words).wait() for words in (SHORT, COMPILED))
    assert (plain.code, compiled.code) == (0, 0), compiled.err
    (wanted,), (found,) = (strict_json(each.out)["trials"] for each in (plain, compiled))
    assert found["plan"]["compile_s"] > 0.5
    assert found["plan"]["warm_up_s"] > found["plan"]["compile_s"]
    assert found["times"]["train_s"] < found["plan"]["compile_s"]
    assert wanted["plan"]["compile_s"] is None
    assert found["test"]["auc"] == pytest.approx(wanted["test"]["auc"], abs=0.02)


@pytest.mark.heavy
def test_compiler_that_does_not_work_is_one_sentence_with_the_fix(
    fresh: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/bin/false")
    ended = fresh.run(*COMPILED).wait()
    assert ended.code == 5
    failed = strict_json(ended.out)["trials"][0]
    assert failed["outcome"] == "failed"
    assert "torch.compile failed" in failed["outcome_reason"]
    assert "encoder.compile=off" in failed["outcome_reason"]
    assert "Traceback" not in complaint(ended.err)
