"""Settings as TOML, and on the command line."""

import random

from attacks.assault import assault, mutated
from grambench.config.presets import load_preset, presets_folder

NAME = "presets"
WHAT = "a preset as TOML; --set and --trial"


def attack(count: int, seed: int) -> list[str]:
    """Faults of the reader of presets, and of assignments."""
    own = b"""extends = "demo"
data.synthetic = { news = 120, users = 80 }
encoder.architecture = { hidden_size = 16, layers = 1, heads = 2 }

[training]
epochs = 2
seeds = [0, 1]
batch_size = 32

[[trials]]
strategy = "e2e"

[[trials]]
label = "fast"
strategy = "gram-1e"
encoder_optimizer.lr = 3e-3
"""
    whole = (presets_folder() / "demo.toml").read_bytes()
    files = {"own.toml": own, "demo.toml": whole}
    lines = b"training.epochs=3\ntraining.seeds=[0, 1]\nfilter.kind=nrms\nfast: gram-1e, multi_step.steps=3"
    draw = random.Random(seed)

    def assignments(_: object) -> None:
        *given, trial = mutated(lines, draw).decode(errors="surrogateescape").split("\n")
        load_preset("demo", given, [trial] if draw.random() < 0.5 else [])

    return [
        *assault(f"{NAME} toml", files, lambda at: load_preset(str(at / "own.toml")), count, seed),
        *assault(f"{NAME} --set", {"unused": b"0"}, lambda at: _after(assignments, at), count, seed),
    ]


def _after(act: object, folder: object) -> None:
    """The whole file is read first, then only mutated assignments."""
    if (folder / "unused").read_bytes() != b"0":  # type: ignore[operator]
        act(folder)  # type: ignore[operator]
