"""Prepared folders: arrays and their manifest."""

import os
import tempfile
from pathlib import Path
from unittest import mock

from attacks.assault import assault, flipped_early, mutated, mutated_json
from grambench.config.presets import load_preset
from grambench.data.prepared.check import check_prepared
from grambench.data.verify_prepared import prepared_folders, verify_prepared
from grambench.domains.prepared import open_prepared
from grambench.worker.prepare import prepare_data

NAME = "prepared"
WHAT = "arrays and manifest.json of a prepared folder"
SMALL = (
    "data.synthetic={news = 60, users = 40, train_impressions = 40, dev_impressions = 20}",
    "encoder.architecture={hidden_size = 16, layers = 1, heads = 2}",
    "filter.nrms.heads=2",
)


def attack(count: int, seed: int) -> list[str]:
    """Faults of the readers of prepared data."""
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, GRAMBENCH_CACHE=cache):
        made = prepare_data(load_preset("demo", SMALL), lambda _: None)
        files = {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    manifest = {"manifest.json": files.pop("manifest.json")}
    arrays = {name: content for name, content in files.items() if name.endswith(".npy")}

    def read(folder: Path) -> None:
        for name, content in {**files, **manifest}.items():
            if not (folder / name).exists():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(content)
        check_prepared(folder)
        for found in prepared_folders(folder):
            verify_prepared(found)
        open_prepared(folder)

    return [
        *assault(f"{NAME} manifest", manifest, read, count, seed, (mutated, mutated_json)),
        *assault(f"{NAME} arrays", arrays, read, count, seed, (mutated, flipped_early)),
    ]
