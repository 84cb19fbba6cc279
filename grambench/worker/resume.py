"""Bit-equal resuming of a trial: saves and restores everything that its next step depends on."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grambench.config.changes import differences
from grambench.config.kept import read_kept
from grambench.config.ranks import Ranks
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.errors import ConfigError
from grambench.gram import RandomState
from grambench.training.checkpoint import (
    SCHEMA_VERSION,
    Checkpoints,
    load_weights,
    read_manifest,
    read_numbers,
)
from grambench.training.group import Group
from grambench.training.memory_plan import GraphPlan
from grambench.training.phases import System
from grambench.training.protocols import Strategy
from grambench.training.system import Modules

MODEL, ENCODER, FILTER, STRATEGY, RANDOM = (
    "model",
    "encoder_optimizer",
    "filter_optimizer",
    "strategy",
    "random",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Resumed:
    """A checkpoint that was read."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]

    @property
    def plan(self) -> GraphPlan:
        """The sizes of the worker that wrote it."""
        return GraphPlan(**self.numbers["plan"])

    @property
    def trained(self) -> tuple[Any, str] | None:
        """Outcome and reason if training had ended and only the test part was left."""
        found = self.numbers.get("trained")
        return (found[0], found[1]) if found else None


def identity(spec: Spec, fingerprint: str, device: torch.device) -> dict[str, Any]:
    """What must not change between the sessions of a trial."""
    rows = [row_of(name) for name in spec.training.strategies]
    packages = {row.name: row.package for row in rows if row.package}
    return {
        "spec": _without_ranks(spec),
        "data_fingerprint": fingerprint,
        "device": device.type,
        "torch": torch.__version__,
        **({"plugins": packages} if packages else {}),
    }


def newest(
    checkpoints: Checkpoints, now: Mapping[str, Any], group: Group | None = None
) -> tuple[Resumed | None, list[str]]:
    """The newest intact checkpoint that the leader finds, and complaints about newer, damaged ones.

    Raises:
        ConfigError: it belongs to another specification, data set, device, torch or schema.
    """
    group = group or Group()
    place, complaints = checkpoints.newest() if group.leads else (None, [])
    name = group.told(place.name if place else None)
    if name is None:
        return None, complaints
    place = checkpoints.folder / name
    manifest = read_manifest(place)
    before = {key: manifest.get(key) for key in ("schema_version", *now)}
    before["spec"] = _as_now(before["spec"])
    changed = differences(before, {"schema_version": SCHEMA_VERSION, **now})
    if changed:
        raise ConfigError(
            f"The checkpoint {place.name} cannot be resumed, because something has changed:"
            f" {'; '.join(changed)}.",
            "Undo the change, or start a new run.",
        )
    return Resumed(load_weights(place), read_numbers(place)), complaints


def _without_ranks(spec: Spec) -> dict[str, Any]:
    """The specification apart from the number of ranks: any number resumes what another has trained."""
    return spec.model_copy(update={"ranks": Ranks()}).model_dump(mode="json")


def _as_now(spec: Any) -> Any:
    """An earlier version's specification, with that version's behaviour for the fields that it lacked."""
    try:
        return _without_ranks(read_kept(spec))
    except (ValueError, TypeError, AttributeError):  # it has unknown fields, which the comparison will name
        return spec


def collect(system: System, modules: Modules, strategy: Strategy) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by dotted names, and the strategy's numbers."""
    kept = strategy.state_dict()
    arrays = {k: _tensor(v) for k, v in kept.items() if isinstance(v, (Tensor, np.ndarray))}
    numbers = {k: v for k, v in kept.items() if not isinstance(v, (Tensor, np.ndarray))}
    state = RandomState.capture(system.clock.device)
    random = {"cpu": state.cpu} | ({} if state.cuda is None else {"cuda": state.cuda})
    parts = {
        MODEL: modules.state_dict(),
        ENCODER: system.encoder_optimizer.state_dict(),
        FILTER: system.filter_optimizer.state_dict(),
        STRATEGY: arrays,
        RANDOM: random,
    }
    tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
    return tensors, numbers


def restore(resumed: Resumed, system: System, modules: Modules, strategy: Strategy) -> None:
    """The inverse of `collect`, on freshly built objects; the random states come last."""
    device = system.clock.device
    modules.load_state_dict(_part(resumed, MODEL))
    system.encoder_optimizer.load_state_dict(_part(resumed, ENCODER))
    system.filter_optimizer.load_state_dict(_part(resumed, FILTER))
    strategy.load_state_dict({**_part(resumed, STRATEGY), **resumed.numbers["strategy"]})
    random = _part(resumed, RANDOM)
    RandomState(random["cpu"], random.get("cuda"), device).restore()


def folder_of(run: Path, trial: str) -> Checkpoints:
    """The checkpoints of a trial."""
    return Checkpoints(run / trial / "checkpoints")


def _part(resumed: Resumed, part: str) -> dict[str, Any]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in resumed.tensors.items() if k.startswith(prefix)}


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
