"""Alerts, with a real HTTP server and a real terminal."""

import json
import os
import pty
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from exported_runs import WrittenRun

from grambench.errors import ConfigError
from grambench.events import types as ev
from grambench.export.alerts import Bell, Webhook, checked_url
from grambench.export.follow import follow

SECRET = "T0/B0/hunter2"


class Server:
    """Keeps what is posted, and answers with the statuses that a test asks for; then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.posts: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("Location", f"{outer.url}/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    written = WrittenRun.of(tmp_path)
    written.start()
    return written


def alerted(run: WrittenRun, url: str) -> tuple[list[str], list[float]]:
    """What the webhook complains of, and for how long it has waited."""
    said: list[str] = []
    waits: list[float] = []
    follow(run.folder, Webhook(run.folder, url, waits.append), lambda _: True, said.append)
    return [*filter(None, said)], waits


def decided(is_decided: bool) -> ev.DecisionLooked:
    return ev.DecisionLooked(7, 20, [{"label": "gram-1e", "verdict": "as good"}], is_decided)


def test_diverged_decided_and_ended_are_posted_in_order(run: WrittenRun, server: Server) -> None:
    run.log("e2e.s0", 1, ev.TrialFinished("diverged", "the loss was not finite at step 7"))
    run.log("", 2, decided(False), decided(True))
    run.finish(65, 5)
    assert alerted(run, f"{server.url}/services/{SECRET}") == ([], [])
    name = run.folder.name
    path, headers, _ = server.posts[0]
    assert path == f"/services/{SECRET}"
    assert headers["Content-Type"] == "application/json"
    assert [post for _, _, post in server.posts] == [
        {
            "text": f"{name}: e2e.s0 diverged: the loss was not finite at step 7",
            "event": "diverged",
            "run": name,
            "trial": "e2e.s0",
            "exit_code": None,
        },
        {
            "text": f"{name}: decided after 7 of at most 20 seeds: gram-1e as good",
            "event": "decided",
            "run": name,
            "trial": "",
            "exit_code": None,
        },
        {
            "text": f"{name} finished, but trials failed after 1:05.",
            "event": "ended",
            "run": name,
            "trial": "",
            "exit_code": 5,
        },
    ]


def test_only_what_the_newest_supervisor_saw_is_posted(run: WrittenRun, server: Server) -> None:
    run.log("e2e.s0", 1, ev.TrialFinished("diverged", "old"))
    run.finish(2, 75)
    run.start(60)
    run.finish(61, 0)
    assert alerted(run, server.url) == ([], [])
    assert [post["event"] for _, _, post in server.posts] == ["ended"]
    assert server.posts[0][2]["text"].startswith(f"{run.folder.name} finished after ")


def test_a_supervisor_that_was_killed_is_posted(run: WrittenRun, server: Server) -> None:
    assert alerted(run, server.url) == ([], [])
    assert [post["event"] for _, _, post in server.posts] == ["cut off"]


@pytest.mark.parametrize(
    ("statuses", "posts", "waited", "why"),
    [
        ([500, 429], 3, [1, 3], ""),
        ([500] * 4, 4, [1, 3, 9], "HTTP status 500"),
        ([404], 1, [], "HTTP status 404"),
        ([302], 1, [], "HTTP status 302"),
    ],
)
def test_what_may_pass_is_tried_again(
    run: WrittenRun, server: Server, statuses: list[int], posts: int, waited: list[float], why: str
) -> None:
    server.statuses = statuses
    said, waits = alerted(run, f"{server.url}/{SECRET}?token={SECRET}")
    assert (len(server.posts), waits) == (posts, waited)
    assert said == ([f"The webhook http://127.0.0.1/… did not take an alert: {why}."] if why else [])


def test_a_server_that_is_gone_is_said_once_and_without_secrets(run: WrittenRun, server: Server) -> None:
    server.server.shutdown()
    server.server.server_close()
    run.log("", 1, decided(True))
    run.finish(2)
    said, waits = alerted(run, f"{server.url.replace('//', '//me:hunter2@')}/{SECRET}")
    assert said == ["The webhook http://127.0.0.1/… did not take an alert: Connection refused."]
    assert len(waits) == 6


def test_user_and_password_of_the_url_become_a_header(run: WrittenRun, server: Server) -> None:
    alerted(run, server.url.replace("//", "//me:p%40ss@"))
    assert server.posts[0][1]["Authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example/x",
        "file:///etc/passwd",
        "ftp://host/x",
        "http://",
        "http://a b/",
        "http://[::1/x",
        "http://h:99999/",
    ],
)
def test_what_is_no_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked_url(url)
    assert url not in str(refused.value)


def test_the_bell_rings_the_terminal_and_a_closed_one_is_no_failure(run: WrittenRun) -> None:
    run.finish(2)
    ours, theirs = pty.openpty()
    bell = Bell(run.folder, os.ttyname(theirs))
    said: list[str] = []
    follow(run.folder, bell, lambda _: True, said.append)
    assert os.read(ours, 10) == b"\a"
    os.close(theirs)
    os.close(ours)
    follow(run.folder, bell, lambda _: True, said.append)
    assert not any(said)
