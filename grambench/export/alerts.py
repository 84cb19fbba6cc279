"""Alerts: a terminal's bell and a webhook when a run ends or is decided, or a trial diverges."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from grambench.errors import ConfigError, ExitCode
from grambench.events import types as ev
from grambench.events.codec import Record
from grambench.events.state import RunState
from grambench.reports.verdict import verdict_of
from grambench.text import safe_text
from grambench.views import numbers

_TIMEOUT_S = 5.0
_WAITS_S = (1.0, 3.0, 9.0)
"""Seconds before each further attempt."""
_LONGEST = 2000
"""Characters of an alert's text."""
_ENDS: dict[int, str] = {
    ExitCode.OK: "finished",
    ExitCode.PARTIAL: "finished, but trials failed",
    ExitCode.NOT_EQUIVALENT: "finished, but the audit found gradients that should be equal and differ",
    ExitCode.INTERRUPTED: "was interrupted and can be resumed",
    ExitCode.STOPPED: "was stopped",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """What a webhook gets, as JSON."""

    text: str
    """For people; the key that Slack and its kin show."""
    event: Literal["ended", "diverged", "decided", "cut off"]
    run: str
    trial: str = ""
    exit_code: int | None = None


class _Alerts:
    """Collects what the newest supervisor's run has to alert to, and delivers it in order."""

    period_s = 0.5

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due: list[tuple[str, ev.Event]] = []
        """Log and event."""
        self._complained = False

    def take(self, source: str, record: Record, _: RunState) -> None:
        """See `Sink`."""
        match record.event:
            case ev.RunStarted():
                self._due.clear()  # of an earlier supervisor
            case ev.RunFinished() | ev.TrialFinished(outcome="diverged") | ev.DecisionLooked(decided=True):
                self._due.append((source, record.event))

    def flush(self, state: RunState) -> str:
        """See `Sink`."""
        alerts = [_alert(source, event, state, self._folder) for source, event in self._due]
        self._due.clear()
        return self._deliver(alerts)

    def close(self, state: RunState) -> str:
        """See `Sink`; a supervisor that was killed has logged no end."""
        if state.finished:
            return ""
        words = f"{state.run}: the supervisor ended before the run did; the run can be resumed"
        return self._deliver([Alert(safe_text(words, _LONGEST), "cut off", state.run)])

    def _deliver(self, alerts: list[Alert]) -> str:
        """The first failure in a sentence, once."""
        failures = [why for alert in alerts if (why := self.deliver(alert))]
        if not failures or self._complained:
            return ""
        self._complained = True
        return failures[0]

    def deliver(self, alert: Alert) -> str:
        """Deliver one alert; why it failed, in a sentence."""
        raise NotImplementedError


def _alert(source: str, event: ev.Event, state: RunState, folder: Path) -> Alert:
    match event:
        case ev.TrialFinished():
            words = f"{state.run}: {source} diverged: {event.reason}"
            return Alert(safe_text(words, _LONGEST), "diverged", state.run, source)
        case ev.DecisionLooked():
            verdicts = ", ".join(f"{row.get('label')} {row.get('verdict')}" for row in event.rows)
            words = f"{state.run}: decided after {event.seeds} of at most {event.most} seeds: {verdicts}"
            return Alert(safe_text(words, _LONGEST), "decided", state.run)
    words = safe_text(_ended(state, folder), _LONGEST)
    return Alert(words, "ended", state.run, exit_code=state.exit_code)


def _ended(state: RunState, folder: Path) -> str:
    """How the run ended, and its verdict."""
    words = _ENDS.get(state.exit_code or 0, f"failed with exit code {state.exit_code}")
    reason = f": {state.setup.reason.rstrip('.')}" if state.setup.outcome == "failed" else ""
    sentences = (each.sentence for each in verdict_of(state, folder).compared)
    return " ".join((f"{state.run} {words} after {numbers.clock(state.seconds)}{reason}.", *sentences))


class Bell(_Alerts):
    """Rings the terminal from which the run was started, as long as that is open."""

    def __init__(self, folder: Path, terminal: str) -> None:
        """`terminal`: its device."""
        super().__init__(folder)
        self._terminal = terminal

    def deliver(self, _: Alert) -> str:
        """See `_Alerts`."""
        try:
            device = os.open(self._terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # the terminal is closed
            return ""
        with os.fdopen(device, "wb", buffering=0) as file:
            file.write(b"\a")
        return ""


class Webhook(_Alerts):
    """Posts JSON."""

    def __init__(self, folder: Path, url: str, wait: Callable[[float], Any] = time.sleep) -> None:
        """`wait`: waits between two attempts."""
        super().__init__(folder)
        self._url, self._headers = _with_login(url)
        self._wait = wait
        self._opener = urllib.request.build_opener(_NoRedirects)

    def deliver(self, alert: Alert) -> str:
        """See `_Alerts`; what may pass is tried again."""
        for wait_s in (*_WAITS_S, None):
            why, final = self._post(json.dumps(asdict(alert)).encode())
            if not why:
                return ""
            if final or wait_s is None:
                break
            self._wait(wait_s)
        return f"The webhook {redacted(self._url)} did not take an alert: {why}."

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Why it failed (empty: it did not), and whether another attempt is useless."""
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S):
                return "", True
        except urllib.error.HTTPError as error:
            return f"HTTP status {error.code}", error.code < 500 and error.code not in (408, 429)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            words = getattr(reason, "strerror", None) or type(reason).__name__  # its text may hold the URL
            return words, False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and take the URL's secret elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _with_login(url: str) -> tuple[str, dict[str, str]]:
    """A URL without user and password, and the headers of a request, which say them."""
    parts, headers = urlsplit(url), {"Content-Type": "application/json", "User-Agent": "grambench"}
    login, at, host = parts.netloc.rpartition("@")
    if at:
        headers["Authorization"] = f"Basic {b64encode(unquote(login).encode()).decode()}"
    return urlunsplit(parts._replace(netloc=host)), headers


def checked_url(url: str) -> str:
    """The URL of a webhook.

    Raises:
        ConfigError: it cannot be one; the message does not repeat it.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not url.isprintable() or " " in url:
        raise ConfigError(
            "The webhook's URL is not an http or https URL.", "Give --webhook https://HOST/PATH."
        )
    return url


def redacted(url: str) -> str:
    """A URL without what may be secret: user, password, path and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…"
