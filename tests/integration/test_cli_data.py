"""`grambench data`, through the real entry point: results on stdout, sentences and codes on stderr."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from grambench.cli.app import main
from grambench.cli.data_prepare import _failure
from grambench.cli.steps import LiveSteps, PlainSteps, megabytes
from grambench.config.data import SyntheticData
from grambench.domains.news import checksums, fetch
from grambench.domains.news.synthetic import generate
from grambench.errors import ExitCode
from grambench.events.types import TrialFinished

TINY = """
name = "tiny"
data.source = "synthetic"
data.dataset = "tiny"
data.synthetic = { news = 60, users = 40, train_impressions = 200, dev_impressions = 40 }
encoder.architecture = { hidden_size = 32, layers = 1, heads = 4 }
filter.nrms.heads = 4
"""
SMALL = SyntheticData(news=60, users=40, train_impressions=200, dev_impressions=40)
FROM_SCRATCH = ("--set", "encoder.architecture.hidden_size=32", "--set", "filter.nrms.heads=4")


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]
_T = TypeVar("_T")


@pytest.fixture
def grambench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `grambench ARGUMENTS` in this process with a cache of its own, 80 columns and no hub."""
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["grambench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def shared_data() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} with real MIND rows is not on this machine")
    return folder


def write_split(folder: Path, news_id: str = "N1", impression: str = "1", history: str = "") -> None:
    folder.mkdir(parents=True)
    (folder / "news.tsv").write_text(f"{news_id}\tnews\tworld\tA title\t\thttps://x\t[]\t[]\n")
    row = f"{impression}\tU1\t11/11/2019 9:05:58 AM\t{history}\t{news_id}-1 {news_id}-0\n"
    (folder / "behaviors.tsv").write_text(row)


# --- list --------------------------------------------------------------------------------------


def test_list_says_where_every_data_set_lies_and_whether_it_is_there(
    grambench: Command, tmp_path: Path
) -> None:
    generate(SMALL, tmp_path / "cache" / "datasets" / "mind-demo")
    ended = grambench("data", "list", "--json")
    rows = {row["name"]: row for row in json.loads(ended.out)}
    assert (ended.code, ended.err) == (0, "")
    news = ["mind-small", "mind-large", "mind-demo", "goodreads"]
    tracing = ["duolingo-es", "duolingo-fr", "poj", "ednet", "assist2009"]
    assert list(rows) == [*news, *tracing, "synthetic"]
    assert {name for name, row in rows.items() if row["there"]} == {"mind-demo"}
    assert rows["mind-demo"]["folder"] == str(tmp_path / "cache" / "datasets" / "mind-demo")
    assert rows["mind-small"]["unpacked_bytes"] == 41_202_121 + 92_019_716 + 33_519_092 + 42_838_544
    assert rows["synthetic"]["unpacked_bytes"] is None
    assert "non-commercial" in rows["mind-large"]["licence"]


def test_half_a_data_set_is_not_there(grambench: Command, tmp_path: Path) -> None:
    write_split(tmp_path / "cache" / "datasets" / "mind-small" / "train")
    (tmp_path / "cache" / "datasets" / "mind-small" / "dev").mkdir()
    assert not any(row["there"] for row in json.loads(grambench("data", "list", "--json").out))


def test_list_fits_80_columns(grambench: Command) -> None:
    ended = grambench("data", "list")
    assert ended.code == 0
    assert all(name in ended.out for name in ("mind-small", "goodreads", "synthetic", "--data-dir DIR"))
    assert max(map(len, ended.out.splitlines())) <= 80


# --- verify ------------------------------------------------------------------------------------


def test_verify_gives_the_known_numbers_of_the_real_sample(
    grambench: Command, shared_data: Path, tmp_path: Path
) -> None:
    for split in ("train", "dev"):
        (tmp_path / "D").mkdir(exist_ok=True)
        (tmp_path / "D" / split).symlink_to(shared_data / "mind-sample")
    ended = grambench("data", "verify", "mind-sample", "--data-dir", tmp_path / "D", "--json")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert list(found["splits"]) == ["train", "dev"]
    for check in found["splits"].values():
        assert (check["impressions"], check["candidates"], check["clicks"]) == (5000, 189_359, 7542)
        assert check["empty_histories"]["occurrences"] == 107
        for name, occurrences, distinct in (
            ("unknown_history", 153_641, 15_412),
            ("unknown_candidates", 184_049, 7173),
        ):
            assert (check[name]["occurrences"], check[name]["distinct"]) == (occurrences, distinct)
    assert found["unknown_ids"]["distinct"] == 21_754
    assert found["unknown_ids"]["occurrences"] == 2 * (153_641 + 184_049)

    table = grambench("data", "verify", "mind-sample", "--data-dir", tmp_path / "D").out
    assert all(number in table for number in ("189,359", "153,641", "15,412", "21,754", "unknown_items"))
    assert max(map(len, table.splitlines())) <= 80


def test_verify_reads_every_real_first_row(grambench: Command, shared_data: Path) -> None:
    ended = grambench("data", "verify", "mind-small", "--data-dir", shared_data / "mind-rows", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert {split: check["impressions"] for split, check in found["splits"].items()} == {
        "train": 101,
        "dev": 101,
    }


def test_verify_looks_where_the_data_set_would_lie(grambench: Command, tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "cache" / "datasets" / "mind-demo")
    generate(SMALL, tmp_path / "cache" / "datasets" / "goodreads")
    assert grambench("data", "verify", "mind-demo").code == 0  # a data set
    assert grambench("data", "verify", "goodreads").code == 0  # a preset
    ended = grambench("data", "verify", "my-own")
    assert ended.code == 3
    assert str(tmp_path / "cache" / "datasets" / "my-own") in ended.err


def test_verify_follows_the_folder_of_a_preset(grambench: Command, tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "here")
    (tmp_path / "own.toml").write_text(f'data.dir = "{tmp_path / "here"}"\ndata.dataset = "own"\n')
    ended = grambench("data", "verify", tmp_path / "own.toml", "--json")
    assert (ended.code, json.loads(ended.out)["dataset"]) == (0, "own")


def write_tables(folder: Path, *parts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.csv").write_text('id,title\nN1,"one, fish"\nN2,two fish\n')
    rows = [f"U{number}\tN1 N9\tN2-1 N1-0\t{part}\n" for number, part in enumerate(parts)]
    (folder / "impressions.tsv").write_text("user\thistory\tcandidates\tsplit\n" + "".join(rows))
    return folder


def test_verify_counts_tables_of_news(grambench: Command, tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "mine", "train", "train", "test")
    ended = grambench("data", "verify", folder, "--json")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert (found["format"], found["dataset"], found["data_dir"]) == ("news-tables", "mine", str(folder))
    assert [Path(file["path"]).name for file in found["files"]] == ["items.csv", "impressions.tsv"]
    assert (found["news"], found["impressions"], found["users"], found["clicks"]) == (2, 3, 3, 3)
    assert [found[f"{part}_impressions"] for part in ("train", "validation", "test")] == [2, 0, 1]
    assert found["unknown_history"] == {"occurrences": 3, "distinct": 1, "examples": ["N9"]}
    assert found["missing_times"]["examples"] == ["1", "2", "3"]
    table = grambench("data", "verify", folder).out
    assert all(
        words in table for words in ("impressions.tsv", "validation impressions", "N9", "unknown_items")
    )
    assert max(map(len, table.removeprefix(str(folder)).splitlines())) <= 80


def test_verify_knows_tables_by_their_files_or_by_the_preset(grambench: Command, tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "mine", "train")
    assert '"news-tables"' in grambench("data", "verify", "anything", "--data-dir", folder, "--json").out
    generate(SMALL, tmp_path / "splits")
    for split in ("train", "dev"):
        (tmp_path / "splits" / split).rename(folder / split)
    ended = grambench("data", "verify", folder, "--json")
    assert (ended.code, ended.out) == (2, "")
    assert "several formats: mind (" in ended.err
    assert "`--set data.source=mind` or `--set data.source=news-tables`" in ended.err
    assert '"splits"' in grambench("data", "verify", folder, "--set", "data.source=mind", "--json").out
    preset = tmp_path / "own.toml"
    preset.write_text(f'data.source = "news-tables"\ndata.dataset = "own"\ndata.dir = "{folder}"\n')
    assert '"news-tables"' in grambench("data", "verify", preset, "--json").out


def test_verify_of_tables_names_what_is_missing_or_malformed(grambench: Command, tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "mine", "dev")
    ended = grambench("data", "verify", folder)
    assert (ended.code, ended.out) == (3, "")
    assert "impressions.tsv:2: found split 'dev', expected train, validation or test" in ended.err
    (folder / "items.csv").unlink()
    ended = grambench("data", "verify", folder)
    assert ended.code == 3
    assert "holds no items.tsv, .csv or .parquet" in ended.err


def test_generated_data_of_a_preset_has_no_folder_to_verify(grambench: Command) -> None:
    ended = grambench("data", "verify", "demo")
    assert ended.code == 2
    assert "data synth" in ended.err


def test_verify_refuses_what_cannot_be_read(grambench: Command, tmp_path: Path) -> None:
    write_split(tmp_path / "train")
    (tmp_path / "train" / "behaviors.tsv").write_text("1\tU1\tyesterday\t\tN1-1\n")
    ended = grambench("data", "verify", "x", "--data-dir", tmp_path, "--json")
    assert (ended.code, ended.out) == (3, "")
    assert "behaviors.tsv:1: found time 'yesterday'" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_hostile_ids_reach_no_terminal(grambench: Command, tmp_path: Path) -> None:
    evil = "N\x1b]0;owned\x07\x9b2J\u202e[/b][red]"
    for split in ("train", "dev"):
        write_split(tmp_path / split, impression=f"{evil}{split}")
        write = (tmp_path / split / "behaviors.tsv").open("a")
        with write as file:
            file.write(f"2\tU1\t11/11/2019 9:05:58 AM\t{evil}\tN1-1 {evil}-0\n")
    ended = grambench("data", "verify", "\x1b[31mx", "--data-dir", tmp_path)
    assert ended.code == 0
    assert "[/b][red]" in ended.out.replace("\n", "").replace(" ", "")
    assert all(character.isprintable() or character == "\n" for character in ended.out)

    plain = grambench("data", "verify", "\x1b[31mx", "--data-dir", tmp_path, "--json").out
    assert json.loads(plain)["splits"]["train"]["unknown_history"]["examples"] == [evil]
    assert all(character == "\n" or " " <= character <= "~" for character in plain)


# --- synth -------------------------------------------------------------------------------------


def test_synth_writes_the_same_bytes_for_the_same_options(grambench: Command, tmp_path: Path) -> None:
    sizes = ("--news", 60, "--users", 40, "--train-impressions", 200, "--dev-impressions", 40, "--seed", 3)
    ended = grambench("data", "synth", "--out", tmp_path / "a", *sizes)
    assert ended.code == 0
    assert ended.out.splitlines()[0] == str(tmp_path / "a")
    assert grambench("data", "synth", "--out", tmp_path / "b", *sizes).code == 0
    for name in ("train/news.tsv", "dev/behaviors.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    found = json.loads(grambench("data", "verify", "x", "--data-dir", tmp_path / "a", "--json").out)
    assert found["splits"]["train"]["impressions"] == 200
    assert found["unknown_ids"]["occurrences"] == 0


def test_synth_starts_from_the_size_of_a_real_data_set(grambench: Command, tmp_path: Path) -> None:
    options = ("--like", "mind-demo", "--news", 80, "--users", 50, "--train-impressions", 100)
    ended = grambench("data", "synth", "--out", tmp_path / "a", *options)
    assert ended.out.splitlines()[1] == "80 news, 50 users, 100 train and 7,538 dev impressions, seed 0"


def test_synth_refuses_a_folder_that_holds_something(grambench: Command, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").touch()
    ended = grambench("data", "synth", "--out", tmp_path / "a")
    assert ended.code == 3
    assert "is not empty" in ended.err
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["thesis.tex"]


def test_synth_says_what_a_setting_means(grambench: Command, tmp_path: Path) -> None:
    ended = grambench("data", "synth", "--out", tmp_path / "a", "--news", 3)
    assert ended.code == 2
    assert "data.synthetic.news" in ended.err
    assert "not 3" in ended.err


def test_synth_needs_a_folder_that_can_be_made(grambench: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = grambench("data", "synth", "--out", tmp_path / "file" / "a", "--news", 60)
    assert ended.code == 4
    assert "could not be written" in ended.err


# --- prepare -----------------------------------------------------------------------------------


def test_a_generated_preset_is_prepared_once(grambench: Command, tiny: Path, tmp_path: Path) -> None:
    first = grambench("data", "prepare", tiny)
    assert first.code == 0, first.err
    folder = Path(first.out.splitlines()[0].split(maxsplit=1)[1])
    assert (folder / "manifest.json").is_file()
    fingerprint = json.loads((folder / "manifest.json").read_bytes())["fingerprint"]
    assert fingerprint in first.out
    assert "prepared in" in first.out
    assert "items tokenized: 60 of 60" in first.err
    assert re.search(r"unknown tokens +0 *\n", first.out)
    assert re.search(r"tokens of an earlier item +\d+ *\n", first.out)
    assert not list(tmp_path.glob("grambench-prepare-*"))

    second = grambench("data", "prepare", tiny)
    assert (second.code, fingerprint in second.out) == (0, True)
    assert "found in the cache" in second.out
    assert "tokenized" not in second.err


def test_a_tokenizer_that_is_not_to_be_had_is_one_sentence(grambench: Command, tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "data")
    ended = grambench("data", "prepare", "mind-small", "--data-dir", tmp_path / "data")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.splitlines()[-1].startswith("grambench: The model 'nreimers/TinyBERT_L-6_H-768_v2'")
    assert "HF_HUB_OFFLINE" in ended.err
    assert not list(tmp_path.glob("grambench-prepare-*"))


def test_without_a_network_it_says_where_the_files_go(
    grambench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    ended = grambench("data", "prepare", "mind-demo")
    licence, _, error = ended.err.splitlines()
    assert (ended.code, ended.out) == (4, "")
    assert licence == fetch.LICENCE
    assert str(tmp_path / "cache" / "datasets" / "mind-demo" / "train" / "news.tsv") in error
    assert "could not be reached" in error
    assert error.count(". ") == 1  # two sentences


@pytest.mark.parametrize(("source", "table"), [("news-tables", "impressions"), ("tables", "interactions")])
def test_mind_is_not_fetched_for_tables_under_its_name(
    grambench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, table: str
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(fetch, "fetch", refuse)
    ended = grambench("data", "prepare", "mind-small", "--set", f"data.source={source}")
    assert (ended.code, ended.out) == (3, ""), ended.err
    assert ended.err.startswith("grambench: There is no data for 'mind-small'")
    assert table in ended.err
    assert not (tmp_path / "cache" / "datasets").exists()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server on the loopback interface that has mind-demo: generated rows stand for the real ones."""
    generate(SMALL, tmp_path / "published")
    known = {}
    for path in sorted((tmp_path / "published").glob("*/*.tsv")):
        data = path.read_bytes()
        known[f"{path.parent.name}/{path.name}"] = checksums.Published(
            len(data), hashlib.sha256(data).hexdigest()
        )
    zips = {}
    for split in ("train", "dev"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (tmp_path / "published" / split).iterdir():
                archive.write(path, path.name)
        zips[f"/MINDdemo_{split}.zip"] = buffer.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(zips[self.path])))
            self.end_headers()
            self.wfile.write(zips[self.path])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    source = fetch.Source(f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(fetch, "default_sources", lambda dataset: (source,))
    monkeypatch.setitem(checksums.KNOWN_FILES, "mind-demo", known)
    yield tmp_path / "cache" / "datasets" / "mind-demo"
    server.shutdown()
    thread.join()
    server.server_close()


def test_mind_is_fetched_under_its_licence_and_prepared(grambench: Command, site: Path) -> None:
    ended = grambench("data", "prepare", "mind-demo", *FROM_SCRATCH)
    assert ended.code == 0, ended.err
    assert ended.err.index(fetch.LICENCE) < ended.err.index("MINDdemo_train.zip")
    assert "impressions" in ended.out
    assert len(list(site.glob("*/*.tsv"))) == 4
    assert "MINDdemo" not in grambench("data", "prepare", "mind-demo", *FROM_SCRATCH).err


def test_prepare_takes_presets_and_known_data_sets_only(grambench: Command) -> None:
    ended = grambench("data", "prepare", "mind-smal")
    assert ended.code == 2
    assert "Did you mean 'mind-small'?" in ended.err


def test_generated_data_reads_no_folder(grambench: Command, tmp_path: Path) -> None:
    ended = grambench("data", "prepare", "synthetic", "--data-dir", tmp_path)
    assert ended.code == 2
    assert "data.source=mind" in ended.err


def test_a_missing_folder_is_said_before_a_worker_starts(grambench: Command, tmp_path: Path) -> None:
    ended = grambench("data", "prepare", "goodreads")
    assert ended.code == 3
    assert "--data-dir" in ended.err
    assert "Preparing" not in ended.err


@pytest.mark.parametrize(
    ("victim", "number", "code"),
    [
        ("cli", signal.SIGINT, 130),
        ("cli", signal.SIGKILL, -signal.SIGKILL),
        ("worker", signal.SIGKILL, 4),
    ],
)
def test_neither_process_outlives_the_other(
    victim: str, number: int, code: int, tiny: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"GRAMBENCH_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", "from grambench.cli.app import main; main()", "data", "prepare"]
    process = subprocess.Popen([*command, str(tiny)], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == f"Preparing {tiny}.\n"
    (worker,) = _wait_for(lambda: _workers_of(process.pid))
    os.kill(process.pid if victim == "cli" else worker.pid, number)
    assert process.wait(timeout=300) == code
    assert _wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert not list(tmp_path.glob("cache/prepared/tiny-*"))  # it was cut short, not waited for
    last_words = process.stderr.read().strip().splitlines()[-1:]
    process.stderr.close()
    if code == 130:
        assert last_words == ["grambench: The preparation was stopped. Files fetched so far are kept."]
    if victim == "worker":
        assert "signal SIGKILL" in last_words[0]
        assert list(tmp_path.glob("grambench-prepare-*/*/worker.log"))


def _workers_of(pid: int) -> list[psutil.Process]:
    """Without the short-lived commands, such as git, that tell a run what it runs on."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if "grambench.worker" in child.cmdline():
                found.append(child)
    return found


def _wait_for(look: Callable[[], _T]) -> _T:
    until = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def test_the_worker_s_bug_keeps_its_code_and_log(tmp_path: Path) -> None:
    error = _failure(1, TrialFinished("failed", "ValueError: boom.", 1), tmp_path / "worker.log")
    assert error.exit_code == ExitCode.BUG
    assert "boom" in str(error)
    assert str(tmp_path / "worker.log") in str(error)
    assert _failure(0, TrialFinished("completed"), tmp_path).exit_code == ExitCode.BUG


# --- what is loaded, what is shown -------------------------------------------------------------


def test_the_commands_load_neither_torch_nor_textual(tmp_path: Path) -> None:
    generate(SMALL, tmp_path / "data")
    script = f"""
import sys
from grambench.cli.app import main
assert not {{"numpy", "pyarrow", "torch", "textual"}} & set(sys.modules), "at start"
for line in ("data list", "data verify x --data-dir {tmp_path / "data"}", "presets", "presets demo",
             "data synth --out {tmp_path / "new"} --news 60 --users 40", "data --help"):
    sys.argv = ["grambench", *line.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, line
    assert not {{"torch", "transformers", "textual"}} & set(sys.modules), line
"""
    environment = os.environ | {"GRAMBENCH_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)


def test_plain_progress_is_a_line_every_few_seconds() -> None:
    stream, now = io.StringIO(), [0.0]
    steps = PlainSteps(stream, lambda: now[0], every_s=5.0)
    for second in range(11):
        now[0] = float(second)
        steps.show("a.zip", second * 10_000_000, 100_000_000, megabytes)
        steps.show("\x1b[2Jrows", second, None)
    assert stream.getvalue().splitlines() == [
        "a.zip: 0.0 MB of 100.0 MB",
        "\N{REPLACEMENT CHARACTER}[2Jrows: 0",
        "a.zip: 50.0 MB of 100.0 MB",
        "\N{REPLACEMENT CHARACTER}[2Jrows: 5",
        "a.zip: 100.0 MB of 100.0 MB",
        "\N{REPLACEMENT CHARACTER}[2Jrows: 10",
    ]


def test_live_progress_takes_names_as_text() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=80)
    columns = (TextColumn("{task.description}", markup=False), TextColumn("{task.fields[amount]}"))
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        steps = LiveSteps(progress)
        steps.note("[red]note")
        steps.show("[/b]\x1bfiles", 1, 2)
        steps.show("[/b]\x1bfiles", 2, 2)
    assert "[red]note" in stream.getvalue()
    assert "[/b]\N{REPLACEMENT CHARACTER}files 2 of 2" in stream.getvalue()


# --- convert -----------------------------------------------------------------------------------


def test_convert_writes_plain_tables(grambench: Command, tmp_path: Path) -> None:
    rows = [
        "student\tpos\tproblem\tskill\tskill_name\tcorrect",
        "7\t0\t11\t3\tMean\t1",
        "7\t1\t12\t4\tMode\t0",
    ]
    source = tmp_path / "interactions.tsv.gz"
    source.write_bytes(gzip.compress("".join(f"{row}\n" for row in rows).encode()))
    ended = grambench("data", "convert", "assist2009", source, "--out", tmp_path / "tables")
    assert ended.code == 0, ended.err
    assert "2 answers of 1 students to 2 items" in ended.out
    assert (tmp_path / "tables" / "items.tsv").read_text() == "id\ttext\n3\tMean\n4\tMode\n"
    again = grambench("data", "convert", "assist2009", source, "--out", tmp_path / "tables")
    assert again.code == 3
    assert "is not empty" in again.err


def test_knowledge_tracing_is_verified_by_its_files_or_its_preset(grambench: Command, tmp_path: Path) -> None:
    ended = grambench("data", "verify", "duolingo-es", "--data-dir", tmp_path)
    assert ended.code == 3
    assert "10.7910/DVN/8SWHNO" in ended.err
    (tmp_path / "items.tsv").write_text("id\ttext\nq1\tone\nq2\ttwo\n")
    rows = ("u1\tq1\t1\t5", "u1\tq1\t1\t5", "u1\tq2\t0\t6")
    (tmp_path / "interactions.tsv").write_text("\n".join(("user\titem\tcorrect\ttime", *rows)))
    found = json.loads(grambench("data", "verify", tmp_path, "--json").out)
    assert (found["format"], found["answers"], found["repeats"]["same_item"]) == ("tables", 3, 1)
    table = grambench("data", "verify", "assist2009", "--data-dir", tmp_path).out
    assert "A run stops at rows that repeat an answer" in table
    assert "warning: 1 of 3 answers (33.3 %) repeat an earlier row" in table
    assert max(map(len, table.splitlines()[1:])) <= 80
