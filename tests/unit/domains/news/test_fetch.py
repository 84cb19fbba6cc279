"""Downloads against real servers on the loopback interface; nothing else is contacted."""

import hashlib
import io
import os
import socket
import stat
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from grambench.data.download import Patience, Progress, _KeepsHttps, download, download_from_hub
from grambench.domains.news.checksums import Published
from grambench.domains.news.fetch import Source, default_sources, fetch
from grambench.domains.news.unzip import extract_tables
from grambench.errors import ConfigError, DataError, ExitCode, MachineError
from grambench.hub import hub_is_reachable

FILES = {
    f"{split}/{table}": (f"{split} {table} " * 40_000).encode()[:size] + os.urandom(50_000)
    for split, table, size in (
        ("train", "news.tsv", 300_000),
        ("train", "behaviors.tsv", 400_000),
        ("dev", "news.tsv", 100_000),
        ("dev", "behaviors.tsv", 200_000),
    )
}
KNOWN = {
    "mind-small": {
        name: Published(len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()
    }
}
NAMES = ("news.tsv", "behaviors.tsv")
REPO = "owner/MIND"


def make_zip(split: str, inside: str = "", extra: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in NAMES:
            archive.writestr(f"{inside}{table}", FILES[f"{split}/{table}"])
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return buffer.getvalue()


@dataclass
class Site:
    """A server's files and misbehaviour, and what it was asked."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"v1"'
    ranges: bool = True
    token: str | None = None
    gated: bool = False
    redirect: str | None = None
    """Every path is sent to this base."""
    cut_after: list[int] = field(default_factory=list)
    """One per answer: bytes after which the connection is closed."""
    statuses: list[int] = field(default_factory=list)
    """One per answer, before the good ones."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    port: int = 0


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            if site.statuses:
                return self.send_error(site.statuses.pop(0))
            if site.redirect is not None:
                self.send_response(302)
                self.send_header("Location", f"{site.redirect}{self.path}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if site.token is not None and self.headers.get("Authorization") != f"Bearer {site.token}":
                return self.refuse(401, "RepoNotFound")
            if site.gated:
                return self.refuse(403, "GatedRepo")
            body = site.bodies.get(self.path.rsplit("/", 1)[-1])
            return self.send_error(404) if body is None else self.send_body(body)

        do_HEAD = do_GET

        def refuse(self, status: int, why: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", why)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_body(self, body: bytes) -> None:
            wanted, start = self.headers.get("Range"), 0
            if wanted and site.ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.send_error(416)
            if start:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("ETag", site.etag)
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if self.command == "HEAD":
                return None
            stop = start + site.cut_after.pop(0) if site.cut_after else len(body)
            self.wfile.write(body[start:stop])
            return None

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    for name in ("http_proxy", "HTTP_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    hub_is_reachable.cache_clear()  # a port may come back
    servers = []

    def start(**settings: object) -> Site:
        site = Site(**settings)  # type: ignore[arg-type]
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(site))
        site.port = server.server_address[1]
        site.url = f"http://127.0.0.1:{site.port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


PATIENCE = Patience(timeout_s=2.0, attempts=3, sleep=lambda _: None)
BODY = os.urandom(1_000_000)


def silent(*_: object) -> None:
    pass


def good_site(serve: Callable[..., Site], inside: str = "", **settings: object) -> Site:
    bodies = {f"MINDsmall_{split}.zip": make_zip(split, inside) for split in ("train", "dev")}
    return serve(bodies=bodies, **settings)


def fetch_small(target: Path, *sources: Source) -> Path:
    return fetch("mind-small", target, silent, sources=sources, patience=PATIENCE, known=KNOWN)


def assert_complete(target: Path) -> None:
    for name, data in FILES.items():
        assert (target / name).read_bytes() == data
    left = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert left == {*FILES, ".fetch.lock"}


# One file


def test_whole_file_with_progress(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(bodies={"a": BODY})
    seen: list[tuple[int, int | None]] = []
    download(f"{site.url}/a", tmp_path / "a", lambda *now: seen.append(now), patience=PATIENCE)
    assert (tmp_path / "a").read_bytes() == BODY
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_truncated_body_resumes_where_it_stopped(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(bodies={"a": BODY}, cut_after=[300_000, 400_000])
    download(f"{site.url}/a", tmp_path / "a", silent, patience=PATIENCE)
    assert (tmp_path / "a").read_bytes() == BODY
    assert [headers.get("range") for _, headers in site.asked] == [None, "bytes=300000-", "bytes=700000-"]


def test_later_call_resumes_an_interrupted_one(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(bodies={"a": BODY}, cut_after=[200_000, 0, 0])
    with pytest.raises(MachineError, match=r"200,000 of 1,000,000"):
        download(f"{site.url}/a", tmp_path / "a", silent, patience=PATIENCE)
    assert not (tmp_path / "a").exists()
    download(f"{site.url}/a", tmp_path / "a", silent, patience=PATIENCE)
    assert (tmp_path / "a").read_bytes() == BODY
    assert site.asked[-1][1]["range"] == "bytes=200000-"


@pytest.mark.parametrize(("held", "requests"), [(b"x" * 1000, 1), (b"x" * 1_000_000, 2)])
def test_a_part_that_cannot_be_continued_is_written_anew(
    serve: Callable[..., Site], tmp_path: Path, held: bytes, requests: int
) -> None:
    site = serve(bodies={"a": BODY}, ranges=len(held) == len(BODY))
    (tmp_path / "a.part").write_bytes(held)
    download(f"{site.url}/a", tmp_path / "a", silent, patience=PATIENCE)
    assert (tmp_path / "a").read_bytes() == BODY
    assert len(site.asked) == requests


def test_server_errors_are_retried_and_bounded(serve: Callable[..., Site], tmp_path: Path) -> None:
    waits: list[float] = []
    patience = Patience(timeout_s=2.0, attempts=3, sleep=waits.append)
    site = serve(bodies={"a": BODY}, statuses=[503, 500])
    download(f"{site.url}/a", tmp_path / "a", silent, patience=patience)
    assert waits == [1.0, 2.0]
    site.statuses[:] = [503] * 9
    with pytest.raises(MachineError, match="answered 503"):
        download(f"{site.url}/a", tmp_path / "b", silent, patience=patience)
    assert len(site.statuses) == 6


def test_a_refusal_is_not_retried(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve()
    with pytest.raises(MachineError, match="answered 404"):
        download(f"{site.url}/a", tmp_path / "a", silent, patience=PATIENCE)
    assert len(site.asked) == 1


def test_a_redirect_is_followed(serve: Callable[..., Site], tmp_path: Path) -> None:
    other = serve(bodies={"a": BODY}, cut_after=[100_000])
    first = serve(redirect=other.url)
    download(f"{first.url}/a", tmp_path / "a", silent, patience=PATIENCE)
    assert (tmp_path / "a").read_bytes() == BODY
    assert [headers.get("range") for _, headers in other.asked] == [None, "bytes=100000-"]


def test_https_is_not_left() -> None:
    redirects, request = _KeepsHttps(), urllib.request.Request("https://host/a")
    assert redirects.redirect_request(request, None, 302, "", {}, "https://other/a") is not None
    with pytest.raises(MachineError, match="redirects from https to http"):
        redirects.redirect_request(request, None, 302, "", {}, "http://other/a")


def test_redirect_to_a_file_is_refused(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(redirect="file:///etc")
    with pytest.raises(MachineError):
        download(f"{site.url}/passwd", tmp_path / "a", silent, patience=PATIENCE)
    assert not (tmp_path / "a").exists()


# The hub, by its own client


def from_hub(site: Site, folder: Path, token: str | None = None, tell: Progress = silent) -> Path:
    path = folder / "a.zip"
    download_from_hub("owner/set", path, tell, endpoint=site.url, token=token)
    return path


def test_the_hubs_client_brings_the_file_and_tells_how_far_it_is(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    site, seen = serve(bodies={"a.zip": BODY}, token="right"), []
    path = from_hub(site, tmp_path, "right", lambda *now: seen.append(now))
    assert path.read_bytes() == BODY
    assert (seen[0], seen[-1]) == ((0, len(BODY)), (len(BODY), len(BODY)))
    assert {path for path, _ in site.asked} == {"/datasets/owner/set/resolve/main/a.zip"}


@pytest.mark.parametrize(
    ("settings", "token", "said"),
    [
        ({"token": "right"}, None, r"answered 401 \(no token was sent; HF_TOKEN may hold one\)"),
        ({"token": "right"}, "wrong", r"answered 401 \(the token was not accepted\)"),
        ({"gated": True}, "right", "has gated owner/set: accept its terms at .*/datasets/owner/set and set"),
        ({}, None, "answered 404"),
        ({"statuses": [410] * 9}, None, "answered 410"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    serve: Callable[..., Site], tmp_path: Path, settings: dict[str, Any], token: str | None, said: str
) -> None:
    with pytest.raises(MachineError, match=said) as caught:
        from_hub(serve(**settings), tmp_path, token)
    assert "wrong" not in str(caught.value)


def test_a_hub_that_is_away_is_said_to_be(tmp_path: Path, closed_url: str) -> None:
    with pytest.raises(MachineError, match="could not be reached"):
        from_hub(Site(url=closed_url), tmp_path)


def test_a_hub_that_is_not_to_be_asked_is_not(
    serve: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(bodies={"a.zip": BODY})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MachineError, match="HF_HUB_OFFLINE is set"):
        from_hub(site, tmp_path)
    assert site.asked == []


# Zips


def extract(data: bytes, folder: Path) -> None:
    (folder / "data.zip").write_bytes(data)
    (folder / "out").mkdir()
    extract_tables(folder / "data.zip", folder / "out", NAMES)


@pytest.mark.parametrize("name", ["../evil.tsv", "/tmp/evil.tsv", "a/../../news.tsv", "..\\evil.tsv"])
def test_zip_slip_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="outside"):
        extract(make_zip("train", extra={name: b"x"}), tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"data.zip", "out"}


def test_link_in_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("news.tsv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        extract(buffer.getvalue(), tmp_path)


def test_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(name, bytes(5_000_000))
    with pytest.raises(DataError, match="claims"):
        extract(buffer.getvalue(), tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_only_the_tables_are_taken(tmp_path: Path) -> None:
    extra = {"MINDsmall_train/entity_embedding.vec": b"1", "__MACOSX/news.tsv": b"2", "a/b/news.tsv": b"3"}
    extract(make_zip("train", "MINDsmall_train/", extra), tmp_path)
    assert {path.name for path in (tmp_path / "out").rglob("*")} == set(NAMES)
    assert (tmp_path / "out/news.tsv").read_bytes() == FILES["train/news.tsv"]


def test_damaged_zips_are_data_errors(tmp_path: Path) -> None:
    whole = make_zip("train")
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    doubled = make_zip("train", extra={"MINDsmall_train/news.tsv": b"x"})
    cases = {"cut": whole[: len(whole) // 2], "flipped": bytes(flipped), "page": b"<html>", "twice": doubled}
    for name, data in cases.items():
        (tmp_path / name).mkdir()
        with pytest.raises(DataError):
            extract(data, tmp_path / name)


# The data set


@pytest.mark.parametrize("inside", ["", "MINDsmall_train/"])
def test_fetch_places_the_published_files(serve: Callable[..., Site], tmp_path: Path, inside: str) -> None:
    site = good_site(serve, inside)
    target = tmp_path / "cache" / "mind-small"
    assert fetch_small(target, Source(site.url)) == target
    assert_complete(target)
    fetch_small(target, Source(site.url))
    assert len(site.asked) == 2


def test_only_the_missing_split_is_fetched(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = good_site(serve)
    fetch_small(tmp_path, Source(site.url))
    (tmp_path / "dev/news.tsv").unlink()
    fetch_small(tmp_path, Source(site.url))
    assert_complete(tmp_path)
    assert [path for path, _ in site.asked[2:]] == ["/MINDsmall_dev.zip"]


def test_the_users_own_file_is_never_replaced(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = good_site(serve)
    (tmp_path / "train").mkdir()
    (tmp_path / "train/news.tsv").write_text("mine")
    with pytest.raises(DataError, match="not the published file"):
        fetch_small(tmp_path, Source(site.url))
    assert (tmp_path / "train/news.tsv").read_text() == "mine"
    assert site.asked == []


@pytest.mark.parametrize("fault", ["401", "404", "500", "corrupted", "other files", "closed port"])
def test_mirror_takes_over(serve: Callable[..., Site], tmp_path: Path, closed_url: str, fault: str) -> None:
    first = serve(token="right" if fault == "401" else None, statuses=[500] * 99 if fault == "500" else [])
    repo = REPO if fault == "401" else ""
    if fault == "corrupted":
        first.bodies = {f"MINDsmall_{split}.zip": b"PK\x03\x04 no" for split in ("train", "dev")}
    if fault == "other files":
        first.bodies = {"MINDsmall_train.zip": make_zip("dev"), "MINDsmall_dev.zip": make_zip("train")}
    mirror = good_site(serve)
    url = closed_url if fault == "closed port" else first.url
    fetch_small(tmp_path, Source(url, repo, "wrong"), Source(mirror.url))
    assert_complete(tmp_path)
    assert not any("authorization" in headers for _, headers in mirror.asked)


def test_token_opens_the_hub(serve: Callable[..., Site], tmp_path: Path, closed_url: str) -> None:
    hub = good_site(serve, token="right")
    fetch_small(tmp_path, Source(hub.url, REPO, "right"), Source(closed_url))
    assert_complete(tmp_path)


def test_wrong_files_everywhere_are_a_data_error(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(bodies={"MINDsmall_train.zip": make_zip("dev")})
    with pytest.raises(DataError, match="not the published one") as caught:
        fetch_small(tmp_path, Source(site.url))
    assert caught.value.exit_code == ExitCode.DATA
    assert not (tmp_path / "train").exists()


def test_same_size_other_bytes_are_noticed(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = good_site(serve)
    known = {name: Published(entry.bytes, "0" * 64) for name, entry in KNOWN["mind-small"].items()}
    with pytest.raises(DataError, match="sha256"):
        fetch(
            "mind-small",
            tmp_path,
            silent,
            sources=[Source(site.url)],
            patience=PATIENCE,
            known={"mind-small": known},
        )


def test_no_network_says_where_to_put_the_files(tmp_path: Path, closed_url: str) -> None:
    with pytest.raises(MachineError) as caught:
        fetch_small(tmp_path, Source(closed_url), Source(closed_url))
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
    assert "refused" in caught.value.message
    for word in (str(tmp_path / "train/news.tsv"), str(tmp_path / "train/behaviors.tsv"), "--data-dir"):
        assert word in caught.value.fix


def test_unwritable_target_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="could not be written"):
        fetch_small(tmp_path / "file" / "target", Source("http://127.0.0.1:9"))


def test_default_sources() -> None:
    hub, mirror = default_sources("mind-small", {"HF_TOKEN": " hf_x\n"})
    assert (hub.host, hub.token) == ("huggingface.co", "hf_x")
    assert (mirror.host, mirror.token) == ("recodatasets.z20.web.core.windows.net", None)
    assert (hub.url, hub.repo, mirror.repo) == ("https://huggingface.co", "yjw1029/MIND", "")
    assert default_sources("mind-large", {})[0].token is None
    assert default_sources("mind-large", {"HF_ENDPOINT": "http://hub.local/"})[0].host == "hub.local"
    assert [source.host for source in default_sources("mind-demo", {"HF_TOKEN": "hf_x"})] == [mirror.host]
    with pytest.raises(ConfigError):
        default_sources("mind-small", {"HF_TOKEN": "a\r\nX-Evil: 1"})


def test_unknown_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mind-huge"):
        fetch("mind-huge", tmp_path, silent)  # type: ignore[arg-type]
