"""Checkpoints."""

import tempfile
from pathlib import Path

import torch

from attacks.assault import assault, flipped_early, mutated, mutated_json
from grambench.training.checkpoint import Checkpoints, load_weights, read_numbers

NAME = "checkpoints"
WHAT = "manifest, numbers and tensors of a checkpoint"


def attack(count: int, seed: int) -> list[str]:
    """Faults of the readers of checkpoints."""
    with tempfile.TemporaryDirectory() as scratch:
        store = Checkpoints(Path(scratch))
        place, _ = store.save(3, {"w": torch.ones(4, 3)}, {"loss": 0.5}, {"epoch": 1, "trial": "e2e.s0"})
        files = {f"{place.name}/{path.name}": path.read_bytes() for path in place.iterdir()}
    meta = {name: content for name, content in files.items() if name.endswith(".json")}

    def read(folder: Path) -> None:
        for name, content in files.items():
            if not (folder / name).exists():
                (folder / name).write_bytes(content)
        newest, _ = Checkpoints(folder).newest()
        if newest is not None:
            load_weights(newest)
            read_numbers(newest)

    return [
        *assault(f"{NAME} meta", meta, read, count, seed, (mutated, mutated_json)),
        *assault(f"{NAME} files", files, read, count, seed, (mutated, flipped_early)),
    ]
