"""`grambench audit` as a command: what it refuses, and with which exit code."""

from pathlib import Path

from live_runs import Bench

CONFIG = '{"model_type": "bert", "vocab_size": 100, "hidden_size": 16, "num_attention_heads": 4}'


def test_a_model_without_its_tokenizer_is_refused_with_exit_code_2(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    ended = bench.call("audit", "--preset", bench.preset, "--set", f"encoder={{model = '{tmp_path}'}}")
    assert ended.code == 2, ended.err
    assert f"The tokenizer of '{tmp_path}' has no words" in ended.err
