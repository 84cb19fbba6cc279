"""A run that is exported while it trains, with its alerts."""

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from live_runs import ENDLESS, Bench, complaint, supervisor_process, until

from grambench.export.prometheus import listening
from grambench.export.tensorboard import _written

SECRET = "/services/hunter2"


@pytest.fixture
def posts() -> Any:
    """What is posted to a webhook, which fails the first time; and its URL."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(503 if len(posted) == 1 else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield posted, f"http://127.0.0.1:{server.server_address[1]}{SECRET}"
        server.shutdown()


def test_a_run_is_exported_scraped_and_alerted_to_until_it_is_interrupted(
    bench: Bench, tmp_path: Path, posts: Any
) -> None:
    posted, url = posts
    outlets = ("--log-to", f"tensorboard:{tmp_path}/tb", "--metrics-port", "0", "--webhook", url)
    command = bench.run("--strategies", "gram-1e", *ENDLESS, *outlets)

    def scraped() -> str:
        assert command.process.poll() is None, command.err
        address = next((word for word in command.err.split() if word.endswith("/metrics")), None)
        if address is None:
            return ""
        with urllib.request.urlopen(address, timeout=60) as answer:
            return address if b"\ngrambench_trial_steps_total{" in answer.read() else ""

    address = until(scraped, "a scrape of a trial that trains")
    assert "hunter2" not in " ".join(supervisor_process(command.run).cmdline())
    command.interrupt()
    assert command.wait().code == 75, command.err
    log = (command.run / "gram-1e.s0" / "events.jsonl").read_text().splitlines()
    logged = [line["step"] for line in map(json.loads, log) if line["type"] == "progress" and line["loss"]]
    (file,) = (tmp_path / "tb" / command.run.name / "gram-1e.s0").iterdir()
    assert [step for series, step in _written(file) if series == "train/loss"] == logged
    until(lambda: len(posted) == 2, "the second attempt of the webhook")
    assert posted[0] == posted[1]
    assert (posted[1]["event"], posted[1]["exit_code"]) == ("ended", 75)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=60)
    recorded = [path for path in command.run.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert recorded
    assert not [path for path in recorded if b"hunter2" in path.read_bytes()]
    exported = bench.start(
        "export", command.run, "--to", "tensorboard", "--output", tmp_path / "again"
    ).wait()
    assert (exported.code, exported.out) == (0, f"tensorboard --logdir {tmp_path}/again\n"), exported.err
    (again,) = (tmp_path / "again" / command.run.name / "gram-1e.s0").iterdir()
    assert [found for found in _written(again) if "memory" not in found[0]] == [
        found for found in _written(file) if "memory" not in found[0]
    ]


def test_a_taken_port_is_exit_code_2_before_there_is_a_run(bench: Bench) -> None:
    with listening(0) as taken:
        port = taken.getsockname()[1]
        command = bench.run("--metrics-port", port)
        ended = command.wait()
    assert (ended.code, ended.out) == (2, "")
    assert complaint(ended.err).startswith(f"--metrics-port {port} cannot be used: Address already in use.")
    assert not command.runs.exists()
