"""Where a run can be exported to."""

from pathlib import Path
from typing import Any

import pytest
from exported_runs import WrittenRun, export

from grambench.cli.exports import Outlets, without_secrets
from grambench.errors import ConfigError
from grambench.events.state import RunState
from grambench.export import destinations
from grambench.export.destinations import target


def test_a_folder_becomes_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(destinations, "find_spec", lambda _: True)
    assert target("tensorboard:logs") == f"tensorboard:{tmp_path}/logs"
    assert target("mlflow:sqlite:///x/ml.db") == f"mlflow:sqlite:///{tmp_path}/x/ml.db"
    assert target("mlflow:a:b") == f"mlflow:{tmp_path}/a:b"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("tensorbord:x", "Unknown destination 'tensorbord'. Use tensorboard, mlflow, wandb."),
        ("webhook:http://x", "Unknown destination 'webhook'. Use tensorboard, mlflow, wandb."),
        ("tensorboard", "--log-to tensorboard does not say where. Write tensorboard:DIR."),
        (
            "tensorboard:https://x/y",
            "https://x/y is not a local folder. Trackers are written to this machine only.",
        ),
        (
            "mlflow:x",
            "Exporting to mlflow needs the package mlflow, which is not installed."
            " Install it with `pip install 'grambench[mlflow]'`.",
        ),
    ],
)
def test_what_cannot_be_exported_to_is_one_sentence(
    words: str, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as refused:
        target(words)
    assert str(refused.value) == refusal


def test_a_folder_after_the_name_is_told_its_option() -> None:
    with pytest.raises(ConfigError, match=r"wandb\. `grambench export` takes the folder as --output DIR"):
        destinations.tracker("tensorboard:logs")


class Counts:
    """A sink that counts records."""

    period_s = 1.0

    def __init__(self, _: Path, place: str) -> None:
        self.place, self.records = Path(place), 0

    def take(self, *_: Any) -> None:
        self.records += 1

    def flush(self, _: RunState) -> str:
        return ""

    def close(self, state: RunState) -> str:
        self.place.write_text(f"{state.run}: {self.records}")
        return ""


def test_an_exporter_is_a_module_and_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = destinations.Destination("counts", f"{__name__}:Counts", "cat {place}")
    monkeypatch.setattr(destinations, "DESTINATIONS", (*destinations.DESTINATIONS, row))
    run = WrittenRun.of(tmp_path / "runs")
    run.start()
    run.train(1, 10, 20)
    export(run.folder, target(f"counts:{tmp_path}/counts"))
    assert (tmp_path / "counts").read_text() == f"{run.folder.name}: 3"


def test_two_exports_of_a_run_to_one_place_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "_PATIENCE_S", 0.0)
    run = WrittenRun.of(tmp_path / "runs")
    run.start()
    words = f"tensorboard:{tmp_path}/out"

    def second(_: float) -> bool:
        with pytest.raises(ConfigError, match=r"is being exported to tensorboard:.* by another process"):
            export(run.folder, words)
        export(run.folder, f"{words}/elsewhere")
        return True

    destinations.export(run.folder, words, second)


def test_options_become_targets_or_are_refused(tmp_path: Path) -> None:
    log_to = f"tensorboard:{tmp_path}"
    assert Outlets((log_to,), webhook="https://h/x").check() == [log_to, "webhook:https://h/x"]
    with pytest.raises(ConfigError, match="twice"):
        Outlets((log_to, log_to)).check()
    with pytest.raises(ConfigError, match="--bell has no terminal"):
        Outlets(bell=True).check()


def test_a_recorded_command_has_no_secrets() -> None:
    given = ["run", "--webhook", "https://h/secret", "--webhook=https://h/secret", "--set", "a=b"]
    assert without_secrets(given) == ["run", "--webhook", "…", "--webhook=…", "--set", "a=b"]
