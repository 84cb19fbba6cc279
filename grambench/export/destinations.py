"""Where a run can be exported to: one row each, which `--log-to`, `export --to` and the supervisor read."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from grambench.errors import ConfigError
from grambench.export.follow import Sink, follow

MODEL = "huggingface"
"""Of `export --to` alone: the weights of a trial (`runner/model_export.py`), not what the log holds."""
_PATIENCE_S, _POLL_S = 10.0, 0.1
"""For the export of a supervisor that was killed, which writes what is left."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One of them."""

    name: str
    """What stands before the colon."""
    function: str
    """`module:function` that makes the sink of a run's folder and of what follows the colon."""
    view: str = ""
    """The command that shows it; empty: it is only of use while a run lasts."""
    module: str = ""
    """What has to be installed; its extra has the destination's name. Empty: nothing."""

    def require(self) -> None:
        """
        Raises:
            ConfigError: a package is missing.
        """
        if self.module and find_spec(self.module) is None:
            raise ConfigError(
                f"Exporting to {self.name} needs the package {self.module}, which is not installed.",
                f"Install it with `pip install 'grambench[{self.name}]'`.",
            )

    def sink(self, folder: Path, argument: str) -> Sink:
        """What takes the records of the run in `folder`."""
        module, _, name = self.function.partition(":")
        make: Callable[[Path, str], Sink] = getattr(import_module(module), name)
        return make(folder, argument)


DESTINATIONS = (
    Destination("tensorboard", "grambench.export.tensorboard:sink", "tensorboard --logdir {place}"),
    Destination(
        "mlflow", "grambench.export.mlflow_store:sink", "mlflow ui --backend-store-uri {place}", "mlflow"
    ),
    Destination(
        "wandb", "grambench.export.wandb_offline:sink", "wandb sync {place}/wandb/offline-run-*", "wandb"
    ),
    Destination("prometheus", "grambench.export.prometheus:Metrics"),
    Destination("webhook", "grambench.export.alerts:Webhook"),
    Destination("bell", "grambench.export.alerts:Bell"),
)


def trackers() -> list[str]:
    """What `--log-to` accepts, and `export --to` beside a model."""
    return [row.name for row in DESTINATIONS if row.view]


def tracker(name: str, *others: str) -> Destination:
    """The row of a tracker's name, whose packages are installed; `others` may be used as well.

    Raises:
        ConfigError: there is none, or a package is missing.
    """
    for row in DESTINATIONS:
        if row.view and row.name == name:
            row.require()
            return row
    if name == MODEL:
        raise ConfigError(
            "A model is exported when its trial has ended.", "Use `grambench export --to huggingface`."
        )
    folder = " `grambench export` takes the folder as --output DIR." if ":" in name else ""
    raise ConfigError(f"Unknown destination {name!r}.", f"Use {', '.join([*trackers(), *others])}.{folder}")


def target(words: str) -> str:
    """`NAME:FOLDER` of `--log-to`, checked, with the folder as an absolute path.

    Raises:
        ConfigError: it has another form, or cannot be used on this machine.
    """
    name, colon, folder = words.partition(":")
    row = tracker(name)
    if not folder:
        raise ConfigError(f"--log-to {words} does not say where.", f"Write {name}:DIR.")
    return f"{row.name}{colon}{located(folder)}"


def located(folder: str) -> str:
    """An absolute path, or the URI of a database with one."""
    before, scheme, path = folder.rpartition("sqlite:///")
    if before or (not scheme and "://" in folder):
        raise ConfigError(f"{folder} is not a local folder.", "Trackers are written to this machine only.")
    return f"{scheme}{Path(path).expanduser().absolute()}"


def export(
    folder: Path, words: str, ended: Callable[[float], bool], say: Callable[[str], None] = lambda _: None
) -> None:
    """Export a run to a checked target; see `follow` for the other arguments.

    Raises:
        ConfigError: another process exports the run to the same target.
    """
    name, _, argument = words.partition(":")
    (row,) = (each for each in DESTINATIONS if each.name == name)
    with _alone(folder, words) if row.view else contextlib.nullcontext():
        follow(folder, row.sink(folder, argument), ended, say)


@contextlib.contextmanager
def _alone(folder: Path, words: str) -> Iterator[None]:
    """Hold a lock in the run's folder; where that cannot be written, nobody exports it while it runs."""
    try:
        lock = (folder / f".export-{sha256(words.encode()).hexdigest()[:12]}.lock").open("ab")
    except OSError:
        yield
        return
    with lock:
        deadline = time.monotonic() + _PATIENCE_S
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{folder.name} is being exported to {words} by another process.",
                    "Wait for it, or export to another folder.",
                )
            time.sleep(_POLL_S)
        yield


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
