"""What a run is exported to while it lasts, from the command line."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from grambench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Outlets:
    """The options that name targets."""

    log_to: tuple[str, ...] = ()
    metrics_port: int | None = None
    webhook: str | None = None
    bell: bool = False

    def check(self) -> list[str]:
        """The targets that need nothing to be opened.

        Raises:
            ConfigError: one cannot be used.
        """
        from grambench.export.alerts import checked_url
        from grambench.export.destinations import target

        targets = [target(words) for words in self.log_to]
        if len({words.partition(":")[0] for words in targets}) < len(targets):
            raise ConfigError("--log-to names a destination twice.", "Give each once.")
        if self.webhook:
            targets.append(f"webhook:{checked_url(self.webhook)}")
        if self.bell:
            targets.append(f"bell:{_terminal()}")
        return targets

    def open(self) -> list[str]:
        """All targets; the port of metrics is taken and named, and its descriptor left to the supervisor.

        Raises:
            ConfigError: one cannot be used.
        """
        from grambench.export.prometheus import LOOPBACK, listening

        targets = self.check()
        os.environ.pop("GRAMBENCH_WEBHOOK", None)  # a secret that no other process needs
        if self.metrics_port is not None:
            socket = listening(self.metrics_port)
            typer.echo(f"metrics: http://{LOOPBACK}:{socket.getsockname()[1]}/metrics", err=True)
            targets.append(f"prometheus:{socket.detach()}")
        return targets


def _terminal() -> str:
    for stream in (sys.stderr, sys.stdout, sys.stdin):
        if stream.isatty():
            return os.ttyname(stream.fileno())
    raise ConfigError("--bell has no terminal to ring.", "Leave it out, or use --webhook.")


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line as it may be recorded: without the webhook's URL."""
    kept, secret = [], False
    for word in arguments:
        name, equals, _ = word.partition("=")
        kept.append("…" if secret else f"{name}=…" if equals and name == "--webhook" else word)
        secret = word == "--webhook"
    return kept
