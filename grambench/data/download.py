"""Downloads: from the Hugging Face hub with its own client, from other servers over plain HTTP.

Plain HTTP: bytes go to `<file>.part`, and a later attempt resumes at its end (RFC 9110, section 14.2).
The caller checks that the result is the published file.
"""

import http.client
import inspect
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grambench
from grambench.errors import MachineError
from grambench.hub import hub_is_reachable

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk and the length of the whole file, or None if the server does not send it."""

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 4 << 30
_BACKOFF_S = 1.0
_HEADERS = {"User-Agent": f"grambench/{grambench.__version__}"}


@dataclass(frozen=True)
class Patience:
    """Timeout and retries for a slow or failing server."""

    timeout_s: float = 20.0
    """For connecting, and for each read."""
    attempts: int = 4
    """Give up after this many consecutive attempts that gain less than a MiB each."""
    sleep: Callable[[float], None] = time.sleep
    """Called with 1, 2, 4, … seconds between attempts."""


class _TransientError(Exception):
    """Worth another attempt."""


def download_from_hub(
    repo: str, path: Path, progress: Progress, *, endpoint: str, token: str | None = None
) -> None:
    """Download a file of a data set on the hub to `path`; the hub's client resumes and retries.

    Args:
        repo: `<owner>/<data set>`.
        path: in an existing folder; its name is that of the file in `repo`.
        progress: called after every chunk.
        endpoint: the hub's URL.
        token: hub token; None: that of `hf auth login`, if any.

    Raises:
        MachineError: as `download`.
        OSError: `path` cannot be written.
    """
    from huggingface_hub import hf_hub_download  # a quarter of a second of imports
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    offline = bool(os.environ.get("HF_HUB_OFFLINE"))
    if not offline and not hub_is_reachable(endpoint):  # its client would try for half a minute
        raise MachineError("could not be reached")
    place: dict[str, Any] = {"repo_type": "dataset", "local_dir": path.parent, "endpoint": endpoint}
    if "tqdm_class" in inspect.signature(hf_hub_download).parameters:  # earlier clients draw their own bar
        place["tqdm_class"] = _bar_of(progress)
    try:
        hf_hub_download(repo, path.name, token=token, **place)
    except GatedRepoError as error:
        page = f"{endpoint}/datasets/{repo}"
        problem = f"has gated {repo}: accept its terms at {page} and set HF_TOKEN to a token of that account"
        raise MachineError(problem) from error
    except LocalEntryNotFoundError as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise _refusal(cause.response.status_code, token) from error
        why = "HF_HUB_OFFLINE is set; unset it to download" if offline else cause or error
        raise MachineError(f"could not be reached ({why})") from error
    except HfHubHTTPError as error:
        raise _refusal(error.response.status_code, token) from error
    except Exception as error:  # from the HTTP client, which differs between versions
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise MachineError(f"failed: {error or type(error).__name__}") from error


def _refusal(status: int, token: str | None) -> MachineError:
    if status in {401, 403}:
        hint = "the token was not accepted" if token else "no token was sent; HF_TOKEN may hold one"
        return MachineError(f"answered {status} ({hint})")
    return MachineError(f"answered {status}")


def _bar_of(progress: Progress) -> type[Any]:
    """A progress bar that draws nothing and calls `progress`."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})
            progress(int(self.n), self.total)

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            progress(int(self.n), self.total)

    return Bar


def download(url: str, path: Path, progress: Progress, *, patience: Patience | None = None) -> None:
    """Download `url` to `path`; resumes what an earlier call left in `path`.part.

    Args:
        url: http or https; redirects are followed, from https to https only.
        path: in an existing folder; created only once the body is complete.
        progress: called after every chunk.
        patience: timeouts and retries.

    Raises:
        MachineError: the server cannot be reached, refuses, or keeps failing; the message is a clause
            without the URL ("answered 404").
        OSError: `path` cannot be written.
    """
    patience = patience or Patience()
    part = path.with_name(f"{path.name}.part")
    furthest, failures = _size(part), 0
    while True:
        try:
            _attempt(url, part, progress, patience.timeout_s)
            break
        except _TransientError as error:
            failures = 1 if _size(part) - furthest >= 1 << 20 else failures + 1
            furthest = max(furthest, _size(part))
            if failures >= patience.attempts:
                raise MachineError(str(error)) from error
            patience.sleep(_BACKOFF_S * 2 ** (failures - 1))
    part.replace(path)


def _attempt(url: str, part: Path, progress: Progress, timeout_s: float) -> None:
    """One request; the bytes received stay in `part` even if it fails."""
    done = _size(part)
    headers = _HEADERS | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.build_opener(_KeepsHttps).open(request, timeout=timeout_s) as response:
            _receive(response, part, done, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # `part` is not a prefix of the current file
            part.unlink(missing_ok=True)
        if error.code in {408, 416, 425, 429} or error.code >= 500:
            raise _TransientError(f"answered {error.code}") from error
        raise MachineError(f"answered {error.code}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionResetError):
            raise _TransientError(f"failed: {error.reason}") from error
        raise MachineError(f"could not be reached ({error.reason})") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _TransientError(f"failed: {error or type(error).__name__}") from error


def _receive(response: http.client.HTTPResponse, part: Path, done: int, progress: Progress) -> None:
    """Append to `part`, or overwrite it if the server sends the whole file."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
    if response.status == 206 and not (span and int(span[1]) == done):
        part.unlink(missing_ok=True)
        raise _TransientError("sent a range other than the requested one")
    announced = span[2] if span else response.headers.get("Content-Length", "")
    length = int(announced) if announced.isascii() and announced.isdigit() else None
    if (length or 0) > _MOST_BYTES:
        raise MachineError(f"sends {length:,} bytes, more than any MIND file has")
    with part.open("ab" if response.status == 206 else "wb") as file:
        done = file.tell()
        progress(done, length)
        while chunk := response.read(_CHUNK_BYTES):
            done += len(chunk)
            if done > (_MOST_BYTES if length is None else length):
                raise MachineError("sends more bytes than it announced")
            file.write(chunk)
            progress(done, length)
    if length is not None and done < length:
        raise _TransientError(f"closed the connection after {done:,} of {length:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _KeepsHttps(urllib.request.HTTPRedirectHandler):
    """Rejects a redirect from https to anything else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise MachineError(f"redirects from https to {newurl.partition(':')[0]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
