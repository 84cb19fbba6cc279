"""What `--dry-run` says about the cost of each trial."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from grambench.cli import planned
from grambench.cli.own_data import Found
from grambench.config.presets import load_preset
from grambench.config.ranks import Ranks
from grambench.config.spec import Spec
from grambench.errors import ConfigError, ExitCode
from grambench.events.types import TrialForecast
from grambench.runner import forecast
from grambench.runner.forecast import Forecasts

HERE = Found("generated (synthetic)")
E2E = TrialForecast(14.94, 640 << 20, 1.0, 2.32, 40.6, 34_039, 444_779)
FORECASTS = Forecasts(
    "AMD EPYC", 2, {"e2e": E2E, "gram-auto": TrialForecast(note="as if")}, {"x": "no kernel"}, (), 9.8
)
SPEC = Spec.model_validate({"training": {"seeds": (0, 1), "epochs": 3}})


def printed(capsys: pytest.CaptureFixture[str], found: Found = HERE, spec: Spec = SPEC, **how: bool) -> str:
    planned.print_plan(spec, found, **{"as_json": False, **how})
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    specs: list[Spec] = []
    monkeypatch.setattr(planned, "measure", lambda spec: specs.append(spec) or FORECASTS)
    monkeypatch.setattr(planned, "require_usable", lambda *_: None)
    monkeypatch.setattr(planned, "plan", lambda *_: ["data: generated"])
    monkeypatch.setattr(planned, "weights_of", lambda *_: Path("model.safetensors"))
    return specs


def test_each_trial_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert "measured in 10 s on AMD EPYC, 2 threads (one process; validation comes on top):" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["e2e", "14.9", "0.62", "2.3", "1.0", "40.6", "34,039", "444,779"] in rows
    assert ["gram-auto", *["–"] * 7] in rows
    assert "gram-auto: as if\nx: no forecast (no kernel)\n" in text
    assert "training of all trials" not in text  # one is unknown


def test_trials_of_their_own_settings_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, spec=load_preset("demo-modern")).splitlines()
    first = lines.index("trials = ") + 1
    assert lines[first] == "  {'label': 'e2e', 'strategy': 'e2e'}"
    assert lines[first + 11].startswith("  {'label': 'side-1e', 'strategy': 'gram-1e', ")
    assert lines[first + 12] == ""


def test_all_epochs_of_all_seeds_are_added_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Forecasts("AMD EPYC", 1, {"e2e": E2E}, {}, (), 9.8)
    monkeypatch.setattr(planned, "measure", lambda _: known)
    assert "1 thread (" in printed(capsys)
    assert "training of all trials: about a minute, if all epochs run" in printed(capsys)  # 2 · 3 · 14.94 s
    once, auto = replace(E2E, once_s=120.0), TrialForecast(peak_bytes=1, note="by drift")
    known = replace(known, trials={"e2e": once, "gram-auto": auto})
    # 2 · (3 · 14.94 + 120) s
    assert "training of all trials but gram-auto: about 5 minutes, if all" in printed(capsys)
    own = {"trials": ({"strategy": "e2e"}, {"label": "long", "strategy": "e2e", "training.epochs": 30})}
    spec = Spec.model_validate({"training": {"seeds": (0, 1)}, **own})
    known = replace(known, trials={"long": E2E})
    assert "training of all trials: about 15 minutes, if all" in printed(
        capsys, spec=spec
    )  # 2 · 30 · 14.94 s


def test_several_ranks_are_not_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    spec = SPEC.model_copy(update={"ranks": Ranks(nproc=2)})
    assert "(for one process, not for 2 ranks; validation comes on top)" in printed(capsys, spec=spec)


@pytest.mark.parametrize(
    ("found", "probes", "has_model", "why"),
    [
        (HERE, False, True, "--no-probe"),
        (Found("missing", is_here=False), True, True, "the data is not here yet"),
        (HERE, True, False, "the model is not here yet"),
    ],
)
def test_nothing_is_measured_that_cannot_be(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    measured: list[Spec],
    found: Found,
    probes: bool,
    has_model: bool,
    why: str,
) -> None:
    monkeypatch.setattr(planned, "weights_of", lambda *_: Path("x") if has_model else None)
    assert f"forecast: none ({why})\n" in printed(capsys, found, probes=probes)
    document = json.loads(printed(capsys, found, as_json=True, probes=probes))
    assert document["forecast"] == {"why": why}
    assert measured == []


@pytest.mark.parametrize("as_json", [False, True])
def test_settings_that_a_run_would_refuse_are_an_error_once_the_rest_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    why = dict.fromkeys(("lora-1s", "lora-1e"), "No map named quary. Set another.")
    refused = replace(FORECASTS, failed={**FORECASTS.failed, **why}, refused=tuple(why))
    monkeypatch.setattr(planned, "measure", lambda _: refused)
    with pytest.raises(ConfigError, match=r"^lora-1s, lora-1e: No map named quary\. Set another\.$"):
        planned.print_plan(SPEC, HERE, as_json=as_json)
    text = capsys.readouterr().out
    if as_json:
        assert json.loads(text)["forecast"]["refused"] == ["lora-1s", "lora-1e"]
    else:
        assert "x: no forecast (no kernel)\n" in text
        assert "quary" not in text


def test_json_has_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(printed(capsys, as_json=True))
    assert document["forecast"]["trials"]["e2e"]["tokens_per_epoch"] == 444_779
    assert document["forecast"]["failed"] == {"x": "no kernel"}


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        (subprocess.TimeoutExpired("worker", 90), "it took more than 90 s"),
        (OSError(12, "Cannot allocate memory"), "the worker cannot be started: Cannot allocate memory"),
        ((ExitCode.DATA, '\n{"message": "No data.", "fix": "Fetch it."}\n', ""), "No data. Fetch it."),
        ((ExitCode.BUG, "", "Traceback\nKeyError: 1\n"), "KeyError: 1"),
        ((-9, "", ""), "the worker was ended by signal 9"),
    ],
)
def test_a_probe_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, ended: Exception | tuple[int, str, str], why: str
) -> None:
    def run(*_: object, **options: object) -> subprocess.CompletedProcess[str]:
        assert options["env"]["HF_HUB_OFFLINE"] == "1"
        if isinstance(ended, Exception):
            raise ended
        return subprocess.CompletedProcess([], *ended)

    monkeypatch.setattr(subprocess, "run", run)
    found = forecast.measure(SPEC)
    assert isinstance(found, str)
    assert found.startswith(why)
