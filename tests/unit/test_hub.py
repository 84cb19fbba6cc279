import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from grambench.hub import hub_is_reachable, hub_options


@pytest.fixture(autouse=True)
def _fresh_answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("grambench.hub.getproxies", dict)
    hub_is_reachable.cache_clear()
    yield
    hub_is_reachable.cache_clear()


def test_a_listening_endpoint_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert hub_is_reachable()
        assert hub_options("some/model", "abc") == {
            "revision": "abc",
            "trust_remote_code": False,
            "local_files_only": False,
        }


def test_a_closed_port_leaves_only_local_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert not hub_is_reachable()
    assert hub_options("some/model", None)["local_files_only"]


def test_a_proxy_is_left_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grambench.hub.getproxies", lambda: {"https": "http://proxy:3128"})
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert hub_is_reachable()


def test_a_folder_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grambench.hub.hub_is_reachable", lambda: pytest.fail("asked the hub"))
    assert hub_options(str(tmp_path), None)["local_files_only"]


def test_names_that_are_looked_up_in_vain_are_waited_for_a_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr("grambench.hub.CONNECT_S", 0.05)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: (answered.wait(60), socket.socket())[1])
    try:
        assert not hub_is_reachable()
    finally:
        answered.set()
