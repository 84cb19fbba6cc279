"""One file over HTTP: resumed where it stopped, retried with patience, the token kept to its host.

Bytes go to `<file>.part`; `<file>.part.json` remembers whose they are (URL, ETag, length), so that a
later call continues with Range and If-Range (RFC 9110, sections 13.1.5 and 14.2). A server that
answers 200 to that has another version, or no ranges: the file starts again at byte 0.
"""

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

import grambench
from grambench.errors import MachineError
from grambench.fs import write_atomic

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk and the length of the whole file, where the server tells it."""

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 4 << 30
_BACKOFF_S = 1.0
_USER_AGENT = f"grambench/{grambench.__version__}"


@dataclass(frozen=True)
class Patience:
    """How long a slow or failing server is waited for."""

    timeout_s: float = 20.0
    """For connecting, and for each read."""
    attempts: int = 4
    """Most attempts in a row that bring the file less than a MiB further."""
    sleep: Callable[[float], None] = time.sleep
    """Waits 1, 2, 4, … seconds between attempts."""


@dataclass(frozen=True)
class _Part:
    """Whose bytes `<file>.part` holds."""

    url: str
    etag: str
    length: int | None


class _TransientError(Exception):
    """Worth another attempt."""


class _Response(Protocol):
    """What is read of an answer."""

    headers: http.client.HTTPMessage
    status: int

    def read(self, amount: int, /) -> bytes: ...


def download(
    url: str, path: Path, progress: Progress, *, token: str | None = None, patience: Patience | None = None
) -> None:
    """Bring `url` to `path`; what an earlier call left in `path`.part is continued.

    Args:
        url: http or https; redirects are followed, from https to https only.
        path: in an existing folder; appears when the whole body is there.
        progress: called after every chunk.
        token: sent as `Authorization: Bearer` to the scheme, host and port of `url`, never elsewhere.
        patience: timeouts and retries.

    Raises:
        MachineError: the server cannot be reached, refuses, or fails again and again; the message is
            a clause without the URL ("answered 404").
        OSError: `path` cannot be written.
    """
    patience = patience or Patience()
    part = path.with_name(f"{path.name}.part")
    furthest, failures = _size(part), 0
    while True:
        try:
            _attempt(url, part, progress, token, patience.timeout_s)
            break
        except _TransientError as error:
            failures = 1 if _size(part) - furthest >= 1 << 20 else failures + 1
            furthest = max(furthest, _size(part))
            if failures >= patience.attempts:
                raise MachineError(str(error)) from error
            patience.sleep(_BACKOFF_S * 2 ** (failures - 1))
    part.replace(path)
    _note_of(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, progress: Progress, token: str | None, timeout_s: float) -> None:
    """One request; leaves the bytes received in `part`, even when it fails."""
    held = _held(url, part)
    done = _size(part) if held else 0
    if held and held.length == done:
        return
    request = urllib.request.Request(url, headers={"User-Agent": _USER_AGENT})
    if held and done:
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", held.etag)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(_CarefulRedirects(token))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            mode = _continue_or_restart(response, url, part, done, held)
            with part.open(mode) as file:
                _copy(response, file, _length(response.headers, response.status), progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise _refusal(error.code, token) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionResetError):
            raise _TransientError(f"failed: {error.reason}") from error
        raise MachineError(f"could not be reached ({error.reason})") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _TransientError(f"failed: {error or type(error).__name__}") from error


def _refusal(status: int, token: str | None) -> Exception:
    if status in {401, 403}:
        hint = "the token was not accepted" if token else "no token was sent; HF_TOKEN may hold one"
        return MachineError(f"answered {status} ({hint})")
    if status in {408, 416, 425, 429} or status >= 500:
        return _TransientError(f"answered {status}")
    return MachineError(f"answered {status}")


def _continue_or_restart(response: _Response, url: str, part: Path, done: int, held: _Part | None) -> str:
    """The mode in which `part` is opened: append to what is held, or write anew."""
    length = _length(response.headers, response.status)
    if length is not None and length > _MOST_BYTES:
        raise MachineError(f"sends {length:,} bytes, more than a MIND file has")
    if response.status == 206:
        span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if held and span and int(span[1]) == done and held.length in {None, length}:
            return "ab"
        part.unlink(missing_ok=True)
        raise _TransientError("sent another range than was asked for")
    etag = response.headers.get("ETag", "")
    note = _Part(url, "" if etag.startswith("W/") else etag, length)
    part.write_bytes(b"")
    write_atomic(_note_of(part), json.dumps(asdict(note)))
    return "wb"


def _copy(response: _Response, file: IO[bytes], length: int | None, progress: Progress) -> None:
    done = file.tell()
    progress(done, length)
    while chunk := response.read(_CHUNK_BYTES):
        done += len(chunk)
        if done > (_MOST_BYTES if length is None else length):
            raise MachineError("sends more bytes than it announced")
        file.write(chunk)
        progress(done, length)
    if length is not None and done < length:
        file.flush()
        raise _TransientError(f"closed the connection after {done:,} of {length:,} bytes")


def _length(headers: http.client.HTTPMessage, status: int) -> int | None:
    """Bytes of the whole file, not of a range."""
    if status == 206:
        span = re.fullmatch(r"bytes \d+-\d+/(\d+)", headers.get("Content-Range", "").strip())
        return int(span[1]) if span else None
    length = headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def _held(url: str, part: Path) -> _Part | None:
    """What `part` holds, if it is of this URL and of a version the server can be asked about."""
    try:
        raw = json.loads(_note_of(part).read_text())
        held = _Part(str(raw["url"]), str(raw["etag"]), raw["length"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(held.length, int):
        held = replace(held, length=None)
    too_long = held.length is not None and _size(part) > held.length
    return held if held.url == url and held.etag and not too_long else None


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Gives the token to the origin it was meant for, and to no other; refuses to leave https."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if after.scheme != before.scheme and after.scheme != "https":
            raise MachineError(f"redirects from {before.scheme} to {after.scheme}")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        same_origin = (after.scheme, after.netloc) == (before.scheme, before.netloc)
        if request is not None and same_origin and req.has_header("Authorization"):
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return request
