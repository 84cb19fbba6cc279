"""Prometheus: the state of a run on the loopback interface, in the text format 0.0.4."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from grambench.analysis.comparison import reuse_ratio, speedup
from grambench.errors import ConfigError
from grambench.events.codec import Record
from grambench.events.state import RunState, TrialState

LOOPBACK = "127.0.0.1"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = dict[str, str]
Samples = Iterator[tuple[Labels, float | None]]
"""Labels and value; None: not measured, and left out."""


@dataclass(frozen=True, slots=True)
class _Family:
    """The samples of one name."""

    name: str
    """After `grambench_`; with its unit."""
    type: str
    help: str
    samples: Callable[[RunState], Samples]


def _of_run(value: Callable[[RunState], float | None]) -> Callable[[RunState], Samples]:
    return lambda state: iter([({"run": state.run}, value(state))])


def _of_trials(value: Callable[[RunState, TrialState], float | None]) -> Callable[[RunState], Samples]:
    def samples(state: RunState) -> Samples:
        for trial in state.trials.values():
            yield _labels(state, trial), value(state, trial)

    return samples


def _counted(field: str) -> Callable[[RunState], Samples]:
    return _of_trials(lambda _, trial: getattr(trial.progress, field, None))


def _newest(series: str) -> Callable[[RunState], Samples]:
    return _of_trials(lambda _, trial: getattr(trial, series).last)


def _of_gpus(field: str, factor: float = 1.0) -> Callable[[RunState], Samples]:
    def samples(state: RunState) -> Samples:
        for uuid, gpu in state.gpus.items():
            value = getattr(gpu.last, field)
            labels = {"run": state.run, "gpu": str(gpu.last.index), "uuid": uuid}
            yield labels, None if value is None else value * factor

    return samples


def _scores(part: str) -> Callable[[RunState], Samples]:
    def samples(state: RunState) -> Samples:
        for trial in state.trials.values():
            found = trial.test if part == "test" else next(reversed(trial.evaluations), None)
            for name, value in (found.metrics if found else {}).items():
                yield _labels(state, trial) | {"metric": name}, value

    return samples


def _phases(state: RunState) -> Samples:
    for trial in state.trials.values():
        now = trial.outcome or trial.phase or "waiting"
        yield _labels(state, trial) | {"phase": now}, 1.0


def _labels(state: RunState, trial: TrialState) -> Labels:
    seed = str(trial.seed)
    return {"run": state.run, "trial": trial.name, "strategy": trial.strategy, "seed": seed}


def _host_share(state: RunState) -> float | None:
    return None if state.host.cpu_percent is None else state.host.cpu_percent / 100


_FAMILIES = (
    _Family("run_elapsed_seconds", "gauge", "Seconds of the run so far.", _of_run(lambda s: s.elapsed_s)),
    _Family("run_finished", "gauge", "1 when the run has ended.", _of_run(lambda s: float(s.finished))),
    _Family("run_paused", "gauge", "1 while the run is paused.", _of_run(lambda s: float(s.paused))),
    _Family("trial_phase", "gauge", "1, with the trial's phase or outcome.", _phases),
    _Family("trial_train_seconds_total", "counter", "Training seconds.", _counted("train_s")),
    _Family("trial_encoder_seconds_total", "counter", "Of these, in the encoder.", _counted("encode_s")),
    _Family("trial_steps_total", "counter", "CF steps.", _counted("step")),
    _Family("trial_samples_total", "counter", "Training samples.", _counted("samples")),
    _Family("trial_items_encoded_total", "counter", "Item encodings.", _counted("items_encoded")),
    _Family("trial_loss", "gauge", "Mean loss per user over the newest steps.", _counted("loss")),
    _Family("trial_samples_per_second", "gauge", "Current rate.", _of_trials(lambda _, t: t.rate)),
    _Family("trial_reuse_ratio", "gauge", "R of closed windows.", _of_trials(lambda _, t: reuse_ratio(t))),
    _Family("trial_speedup_ratio", "gauge", "Samples/s over those of e2e.", _of_trials(speedup)),
    _Family("trial_drift_ratio", "gauge", "Of the last window.", _newest("drift_series")),
    _Family("trial_validation_score", "gauge", "Newest scores of validation.", _scores("validation")),
    _Family("trial_test_score", "gauge", "Scores of the test part.", _scores("test")),
    _Family("trial_energy_joules_total", "counter", "Energy of the GPU.", _newest("energy_series")),
    _Family("trial_resident_memory_bytes", "gauge", "Of its process.", _of_trials(lambda _, t: t.rss_bytes)),
    _Family("trial_gpu_memory_bytes", "gauge", "On GPUs.", _of_trials(lambda _, t: t.gpu_memory_bytes)),
    _Family("gpu_power_watts", "gauge", "Power of a GPU.", _of_gpus("power_w")),
    _Family("gpu_memory_used_bytes", "gauge", "Used memory of a GPU.", _of_gpus("memory_used_bytes")),
    _Family("gpu_utilization_ratio", "gauge", "Busy share of a GPU.", _of_gpus("utilization_percent", 0.01)),
    _Family("gpu_temperature_celsius", "gauge", "Temperature of a GPU.", _of_gpus("temperature_c")),
    _Family("host_cpu_utilization_ratio", "gauge", "Busy share of all CPUs.", _of_run(_host_share)),
    _Family("host_memory_used_bytes", "gauge", "In use.", _of_run(lambda s: s.host.memory_used_bytes)),
)


def exposition(state: RunState) -> str:
    """The text of a scrape."""
    lines = []
    for family in _FAMILIES:
        name = f"grambench_{family.name}"
        samples = [(labels, value) for labels, value in family.samples(state) if value is not None]
        if samples:
            lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.type}"]
            lines += [f"{name}{{{_pairs(labels)}}} {float(value)!r}" for labels, value in samples]
    return "\n".join([*lines, ""])


def _pairs(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """A sink that answers scrapes of `/metrics` with the state of at most a second ago."""

    period_s = 1.0

    def __init__(self, _: Path, descriptor: str) -> None:
        """`descriptor`: of a listening socket that this process has inherited."""
        self._text = b""
        self._server = ThreadingHTTPServer(
            (LOOPBACK, 0), _handler(lambda: self._text), bind_and_activate=False
        )
        self._server.socket.close()
        self._server.socket = socket.socket(fileno=int(descriptor))
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def take(self, source: str, record: Record, state: RunState) -> None:
        """See `Sink`; the state has it all."""

    def flush(self, state: RunState) -> str:
        """See `Sink`."""
        self._text = exposition(state).encode()
        return ""

    def close(self, _: RunState) -> str:
        """See `Sink`."""
        self._server.shutdown()
        self._server.server_close()
        return ""


def _handler(text: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            known = self.path.partition("?")[0] in ("/metrics", "/")
            body = text() if known else b"Metrics are at /metrics.\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", _CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Scrapes are not logged."""

    return Handler


def listening(port: int) -> socket.socket:
    """A listening socket on the loopback interface; port 0 takes a free one.

    Raises:
        ConfigError: the port cannot be used.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((LOOPBACK, port))
        found.listen()
    except OSError as error:
        found.close()
        raise ConfigError(
            f"--metrics-port {port} cannot be used: {error.strerror or error}.",
            "Choose another port, or 0 for a free one.",
        ) from error
    return found
