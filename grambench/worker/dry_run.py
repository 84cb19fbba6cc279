"""`python -m grambench.worker forecast SECONDS`: what the trials of a specification would cost.

Reads the specification as JSON from standard input. The last line of standard output is the answer as JSON,
or a refusal with `message` and `fix`, with the exit code of its error.
"""

import dataclasses
import gc
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from grambench.config.spec import Spec
from grambench.config.strategies import Vocabulary, row_of
from grambench.config.trials import TrialEntry
from grambench.domains.prepared import Prepared, open_prepared
from grambench.domains.training import make_sampler
from grambench.errors import ConfigError, ExitCode, GrambenchError
from grambench.events import types as ev
from grambench.training.strategies import make_strategy
from grambench.training.system import build_system, placement
from grambench.worker.device import Device, resolve_device
from grambench.worker.forecast import Probe, used_bytes
from grambench.worker.main import quiet_libraries
from grambench.worker.planning import plan_sizes, use_graphs
from grambench.worker.prepare import prepare_data
from grambench.worker.probe import choose, settled

_MEASUREMENTS = 3
"""Of a trial, at most, beside its first calls."""


def main(arguments: list[str]) -> int:
    """Measure for about the seconds given, in all; the exit code is that of an error."""
    quiet_libraries()
    try:
        answer = forecasts(Spec.model_validate_json(sys.stdin.read()), float(arguments[0]))
    except GrambenchError as error:
        sys.stdout.write(f"\n{json.dumps({'message': error.message, 'fix': error.fix})}\n")
        return int(error.exit_code)
    except Exception:
        traceback.print_exc()
        return int(ExitCode.BUG)
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
    return int(ExitCode.OK)


def forecasts(spec: Spec, seconds: float) -> dict[str, Any]:
    """Forecasts of the specification's trials on its first device, after preparing its data.

    Args:
        spec: the run's.
        seconds: for all measurements together; a model whose first call takes long goes beyond them.

    Returns:
        `device` and `threads`; `trials`: label -> fields of its `TrialForecast`; `failed`: label -> why it
        could not be predicted; `refused`: those of them that a run would refuse as well; `seconds` of the
        measurements.

    Raises:
        GrambenchError: data or model cannot be used.
    """
    device = resolve_device(spec.model_copy(update={"device": spec.devices[0]}), spec.devices.count("cpu"))
    vocabularies = {row_of(entry.strategy).vocabulary for entry in spec.entries}
    folders: dict[Vocabulary, Path] = {name: prepare_data(spec, _drop, name) for name in vocabularies}
    began = time.perf_counter()
    engine = spec.engine.model_copy(update={"probe_s": min(spec.engine.probe_s, seconds / 2)})
    data = {name: open_prepared(folder) for name, folder in folders.items()}
    chosen = choose(spec.model_copy(update={"engine": engine}), next(iter(data.values())), device, _drop)
    spec = settled(spec, chosen)
    budget_s = seconds / _MEASUREMENTS / len(spec.entries)
    trials: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    refused: list[str] = []
    for entry in spec.entries:
        gc.collect()  # the previous trial's memory is not the next one's
        try:
            found = _forecast(spec, entry, data[row_of(entry.strategy).vocabulary], device, budget_s)
            trials[entry.label] = dataclasses.asdict(found)
        except (GrambenchError, RuntimeError) as error:  # torch's, such as out of memory
            failed[entry.label] = str(error).strip().splitlines()[0]
            refused += [entry.label] * isinstance(error, ConfigError)
    took_s = time.perf_counter() - began
    return {
        "device": device.name,
        "threads": torch.get_num_threads(),
        "trials": trials,
        "failed": failed,
        "refused": refused,
        "seconds": took_s,
    }


def _drop(event: ev.Event) -> None:
    del event


def _forecast(
    run: Spec, entry: TrialEntry, data: Prepared, device: Device, budget_s: float
) -> ev.TrialForecast:
    """As the trial's own worker makes it, in a system of its own."""
    spec, name, seed = run.with_own(entry), entry.strategy, run.training.seeds[0]
    system, modules = build_system(
        spec, data, device.torch, seed=seed, strategy=name, autocast=device.autocast
    )
    base_bytes = used_bytes(device.torch)
    use_graphs(spec, system, modules)
    resident = placement(spec, data).interactions
    sampler = make_sampler(spec, data, device.torch, seed=seed, resident=resident)
    plan = plan_sizes(spec.training, system, sampler.batch(0), device.torch)
    micro_batch, chunk = plan.micro_batch, plan.encoder_chunk
    strategy = make_strategy(
        name, system, sampler, spec=spec, micro_batch=micro_batch, encoder_chunk=chunk, seed=seed
    )
    probe = Probe(spec, name, system, sampler, strategy, plan, base_bytes, budget_s)
    return probe.forecast(counts_epoch=True)
