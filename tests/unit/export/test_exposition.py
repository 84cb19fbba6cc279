"""Metrics for Prometheus: the text format 0.0.4, on the loopback interface."""

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from exported_runs import recorded_race

from grambench.errors import ConfigError
from grambench.events.reader import read_run
from grambench.events.state import RunState
from grambench.export.prometheus import Metrics, exposition, listening

_SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\[\\"n])*)"')
_UNITS = (
    "seconds",
    "total",
    "bytes",
    "ratio",
    "watts",
    "celsius",
    "second",
    "score",
    "loss",
    "phase",
    "finished",
    "paused",
)


def parsed(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name; strict: each name has HELP, TYPE and then its samples, once."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    lines = text.split("\n")
    assert lines.pop() == ""
    name = kind = ""
    for line in lines:
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in found
            found[name] = []
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert (typed, kind in ("gauge", "counter")) == (name, True)
            assert (kind == "counter") == name.endswith("_total")
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == name
            found[name].append((dict(_LABEL.findall(sample[2])), float(sample[3])))
    assert all(found.values())
    return found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> RunState:
    return read_run(recorded_race(tmp_path_factory.mktemp("race")))


def test_each_trial_has_labelled_samples(state: RunState) -> None:
    found = parsed(exposition(state))
    assert all(name.startswith("grambench_") and name.endswith(_UNITS) for name in found)
    steps = {labels["trial"]: (labels, value) for labels, value in found["grambench_trial_steps_total"]}
    assert set(steps) == {"e2e.s0", "gram-1s.s0", "gram-1e.s0", "null-e2e.s0"}
    labels, value = steps["gram-1e.s0"]
    assert labels == {"run": state.run, "trial": "gram-1e.s0", "strategy": "gram-1e", "seed": "0"}
    assert value == state.trials["gram-1e.s0"].progress.step
    scores = {labels["metric"] for labels, _ in found["grambench_trial_test_score"]}
    assert scores == {"auc", "mrr", "ndcg@5", "ndcg@10"}
    assert found["grambench_run_finished"] == [({"run": state.run}, 1.0)]


def test_hostile_labels_are_escaped_and_missing_numbers_left_out(state: RunState) -> None:
    found = parsed(exposition(replace(state, run='a"b\\c\nd')))
    assert found["grambench_run_finished"][0][0]["run"] == r"a\"b\\c\nd"
    assert "grambench_gpu_power_watts" not in found
    assert parsed(exposition(RunState()))["grambench_run_finished"] == [({"run": ""}, 0.0)]


@pytest.fixture
def served(state: RunState) -> Iterator[str]:
    found = listening(0)
    port = found.getsockname()[1]
    metrics = Metrics(Path(), str(found.detach()))
    metrics.flush(state)
    yield f"http://127.0.0.1:{port}"
    metrics.close(state)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60)


def test_a_scrape_gets_the_state(served: str, state: RunState) -> None:
    with urllib.request.urlopen(f"{served}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.read().decode() == exposition(state)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{served}/etc/passwd", timeout=60)


def test_a_taken_port_is_one_sentence() -> None:
    with listening(0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(
            ConfigError, match=f"--metrics-port {port} cannot be used: Address already in use"
        ):
            listening(port)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
