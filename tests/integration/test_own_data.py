"""The lines of README's "Your own data", on data of both domains as users have it."""

import gzip
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from live_runs import Bench, report_of
from own_data import own_answers, own_news

from grambench.cli.app import main
from grambench.cli.settings import Options
from grambench.errors import ExitCode
from grambench.runner.rundir import create_run

README = Path(__file__).parents[2] / "README.md"
MADE = {"my-news": own_news, "my-kt": own_answers}
FOUND = {
    "my-news": "(news-tables): 40 items, 300 impressions, 57 users, 8 empty titles, 1 repeated id, 1 to 11",
    "my-kt": "(tables): 30 items, 687 answers, 40 users, 6 empty texts, 1 repeated answer, 1 May 2024",
}
NARROW = "hidden_size=12, layers=1, heads=2, intermediate_size=16"
SMALL = (
    *("encoder.architecture.hidden_size=12", "encoder.architecture.layers=1", "encoder.architecture.heads=2"),
    *("encoder.architecture.intermediate_size=16", "filter.lstm.layers=1", "training.max_steps=2"),
    *("training.batch_size=8", "cpu_threads=1"),
)


def lines() -> list[list[str]]:
    """Arguments of the commands that need only a folder."""
    own = README.read_text().partition("## Your own data")[2].partition("\n## ")[0]
    found = re.findall(
        r"^grambench (.* DIR.*?)(?: +#.*)?$", own.partition("Any text encoder")[0], re.MULTILINE
    )
    return [shlex.split(line) for line in found]


def called(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr("sys.argv", ["grambench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("preset", MADE)
def test_the_lines_of_the_readme_work(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("grambench.cli.own_data.can_fetch", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    folder = MADE[preset](tmp_path / "own")
    printed_lines = [[str(folder) if word == "DIR" else word for word in line] for line in lines()]
    verify, dry_run, run, modern = printed_lines
    assert called(monkeypatch, verify) == 0
    assert FOUND[preset].partition(": ")[2] in " ".join(capsys.readouterr().out.split())
    assert dry_run == [*run, "--dry-run"] == ["run", "--data-dir", str(folder), "--dry-run"]
    assert called(monkeypatch, dry_run) == 0
    printed = capsys.readouterr().out
    for words in (
        f"data: {folder} {FOUND[preset]}",
        "would train: e2e, gram-1s, gram-1e; seeds 0, 1, 2; ",
        "is not here, and the hub cannot be reached: run `hf download sentence-transformers/all-MiniLM",
        "GiB free on this host",
        "GPU: none (",
        "time: about ",
    ):
        assert words in printed
    is_news = preset == "my-news"
    assert called(monkeypatch, [*modern, "--dry-run"]) == (ExitCode.OK if is_news else ExitCode.USAGE)
    printed = " ".join(capsys.readouterr())
    assert ("would train: gram-1s, gram-1e, freeze-1e, lora-1e; " in printed) == is_news


def test_a_table_whose_times_have_another_name_is_said_to_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("grambench.cli.own_data.can_fetch", lambda: False)
    news, answers = own_news(tmp_path / "news"), own_answers(tmp_path / "answers")
    shown = pa.input_stream(str(news / "impressions.csv.zst"), compression="zstd").read()
    (news / "impressions.csv.zst").unlink()
    (news / "impressions.csv").write_bytes(shown.replace(b"Timestamp", b"Shown At", 1))
    (table,) = answers.glob("interactions*")
    text = gzip.decompress(table.read_bytes()) if table.suffix == ".gz" else table.read_bytes()
    table.unlink()
    header, _, rows = text.partition(b"\n")
    (answers / "interactions.csv").write_bytes(re.sub(rb"(?i)time\w*", b"Started", header) + b"\n" + rows)
    for folder, table_name, other, then in (
        (news, "impressions.csv", "'Shown At'", "a run tests on data.test_share of the users"),
        (answers, "interactions.csv", "'Started'", "in the order of their rows"),
    ):
        words = f"warning: {table_name} has no column time, nor one of its usual names; not read: {other}: "
        for command in (["data", "verify", str(folder)], ["run", "--data-dir", str(folder), "--dry-run"]):
            called(monkeypatch, command)
            printed = " ".join(capsys.readouterr().out.split())
            assert words in printed
            assert then in printed


@pytest.mark.parametrize("model", ["/nowhere/model", "./nowhere"])
def test_a_path_without_a_model_is_refused_before_anything_runs(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own_news(tmp_path / "own")
    for more in (["--dry-run"], []):
        assert (
            called(monkeypatch, ["run", "--data-dir", str(folder), "--set", f"encoder.model={model}", *more])
            == 2
        )
        assert f"encoder.model = '{model}' is not a folder. Give a folder" in capsys.readouterr().err


def test_a_dry_run_says_whether_a_model_in_a_folder_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = own_news(tmp_path / "own"), tmp_path / "model"
    model.mkdir()
    arguments = ["run", "--data-dir", str(folder), "--set", f"encoder.model={model}", "--dry-run"]
    arguments += ["--schedule", "sequential", "--no-probe"]
    assert called(monkeypatch, arguments) == 2
    assert f"{model} is an empty folder" in capsys.readouterr().err
    (model / "config.json").write_text('{"model_type": "bert"}')
    assert called(monkeypatch, arguments) == 2
    assert f"{model} has no weights, neither model.safetensors nor" in capsys.readouterr().err
    with (model / "model.safetensors").open("wb") as file:
        file.truncate(1 << 30)
    (model / "tokenizer.json").write_text("{}")
    (model / "data_config.json").write_text("[]")  # sentence-transformers leaves one; nothing reads it
    assert called(monkeypatch, arguments) == 0
    printed = capsys.readouterr().out
    assert f"model: {model} is here" in printed
    assert "memory: 4.00 GiB for the encoder's weights, gradients and optimiser, which " in printed


def test_a_folder_alone_is_trained_on(bench: Bench, tmp_path: Path) -> None:
    folder = own_answers(tmp_path / "own")
    changes = [word for change in SMALL for word in ("--set", change)]
    command = bench.start(
        "run", "--data-dir", folder, *changes, "--strategies", "gram-1s", "--plain", "--foreground"
    )
    ended = command.wait()
    assert ended.code == 0, ended.err
    assert f"{folder} {FOUND['my-kt']}; preset my-kt" in ended.err
    report = report_of(command.run)
    assert [trial["outcome"] for trial in report["trials"]] == ["completed"] * 3
    assert re.search(r"^3 seeds, about \w+ minutes? in all; --seeds changes it$", ended.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "seeds", "words"),
    [
        ((), "0, 1, 2", "3 seeds, about "),
        (("--seeds", "4,5"), "4, 5", ""),
        (("--set", "training.repeats=2"), "0", ""),
        (("--set", "training.epochs=90000"), "0", "1 seed (about "),
        (("--strategies", "nocontent"), "0", "1 seed (their time is unknown); "),
    ],
)
def test_small_data_get_three_seeds_unless_the_user_chooses(
    options: tuple[str, ...],
    seeds: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["run", "--data-dir", str(own_answers(tmp_path / "own")), *options, "--dry-run", "--no-probe"]
    assert called(monkeypatch, [*arguments, "--set", f"encoder.architecture={{{NARROW}}}"]) == 0
    printed = capsys.readouterr()
    assert f"; seeds {seeds}; " in printed.out
    assert printed.err.startswith(words)
    assert bool(printed.err) == bool(words)


def test_a_resume_keeps_the_seeds_that_the_run_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own_answers(tmp_path / "own")
    kept = Options(data_dir=folder, seeds="0..2").resolve("")
    name = create_run(kept, "my-kt", tmp_path / "runs", []).name
    arguments = ["run", "--resume", name, "--out", str(tmp_path / "runs"), "--data-dir", str(folder)]
    assert called(monkeypatch, [*arguments, "--set", "training.epochs=7"]) == 2
    complaint = capsys.readouterr().err
    assert "training.epochs" in complaint
    assert "seeds" not in complaint


def test_an_unknown_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for code, arguments in (
        (2, ["run", "--data-dir", str(tmp_path)]),
        (2, ["data", "verify", str(tmp_path)]),
        (3, ["run", "--data-dir", str(tmp_path / "absent")]),
        (2, ["run"]),
    ):
        assert called(monkeypatch, arguments) == code
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
