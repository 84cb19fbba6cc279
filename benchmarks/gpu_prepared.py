"""The data of `benchmarks.measure`: prepared where it runs, or beforehand on a CPU and carried along.

A data set is an archive `NAME.tgz`: a cache folder of the product, with `spec.json` beside it. Generated
sources go along only for the whole run, which looks for them.
"""

import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import toeic_lab, trials
from benchmarks.gpu_lab import Lab
from benchmarks.gpu_sizes import FULL, SMOKE, mind_spec
from benchmarks.shapes import MIND, TENTH, small_encoder
from benchmarks.shapes import SMOKE as SMOKE_DATA
from benchmarks.toeic_tables import write_tables
from grambench.config.paths import cache_dir
from grambench.config.spec import Spec
from grambench.data.prepared.check import check_prepared
from grambench.domains.prepared import Prepared, open_prepared

RUN = "run"
NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""Set for the sections' processes by `benchmarks.measure`."""
STRATEGIES = ("e2e", "gram-1s", "gram-1e")
_COMMON = ("multi_step.encoder_batch=256", "encoder_optimizer.lr=0.0001", "filter_optimizer.lr=0.0001")


@dataclass(frozen=True, slots=True)
class Store:
    """Finds the data sets."""

    smoke: bool
    folder: Path | None = None
    """Of unpacked archives; None: data sets are prepared in the product's cache on their first use."""

    def open(self, name: str) -> Prepared:
        """The arrays of a data set."""
        if self.folder is None:
            return prepared(self.smoke, name)
        (arrays,) = (path.parent for path in (self.folder / name / "prepared").glob("*/manifest.json"))
        return open_prepared(arrays)

    def environment(self) -> dict[str, str]:
        """For a whole run, which finds its data prepared, and asks for GPUs as it does without us."""
        found = {name: value for name, value in os.environ.items() if name != NVML_CHECK}
        return found if self.folder is None else {**found, "GRAMBENCH_CACHE": str(self.folder / RUN)}


def toeic_sizes(smoke: bool) -> toeic_lab.Sizes:
    """Few students, whose answers only make the epoch of gram-1e longer, and few steps of e2e."""
    if smoke:
        return replace(toeic_lab.SMOKE, larger=())
    tables = replace(toeic_lab.CUDA.tables, students=8_000)
    return replace(toeic_lab.CUDA, tables=tables, e2e_steps=4)


def run_overrides(smoke: bool) -> tuple[str, ...]:
    """Settings of the whole run, over the preset `demo`: a tenth of MIND-small, so that it ends in time."""
    if smoke:
        return (*SMOKE_DATA, *small_encoder(16, 1, 1, 400), "training.max_steps=3")
    encoder = small_encoder(768, 6, 12, 30_000)
    return (*MIND, *TENTH, *encoder, *_COMMON, "filter.nrms.heads=16", "training.max_steps=40")


def specs(smoke: bool) -> dict[str, Spec]:
    """The data sets by name."""
    toeic = toeic_sizes(smoke)
    tables = cache_dir() / "benchmarks" / f"toeic-{toeic.tables.students}"
    return {
        "mind-like": mind_spec(SMOKE if smoke else FULL),
        "toeic": toeic_lab.spec_for(toeic, toeic.encoder, tables),
        RUN: trials.spec_of("demo", *run_overrides(smoke)),
    }


def first(lab: Lab) -> None:
    """Section of `benchmarks.measure`: open every data set, so that no other section prepares one."""
    for name in specs(lab.store.smoke):
        began_s = time.monotonic()
        items = lab.store.open(name).manifest.items
        how = "carried along" if lab.store.folder is not None else "prepared here, or found in the cache"
        note = f"{items.mean_length:.2f} tokens each; {how} in {time.monotonic() - began_s:.1f} s"
        lab.row(name, f"{items.items:,} items", note)


def prepared(smoke: bool, name: str) -> Prepared:
    """The arrays of a data set, prepared in the product's cache on the first use."""
    spec = specs(smoke)[name]
    if spec.data.dir is not None and not (folder := Path(spec.data.dir)).exists():
        write_tables(toeic_sizes(smoke).tables, folder)
    return trials.prepared(spec)


def pack(smoke: bool, out: Path) -> None:
    """Prepare every data set and write its archive."""
    out.mkdir(parents=True, exist_ok=True)
    for name in specs(smoke):
        with tempfile.TemporaryDirectory(prefix="grambench-") as scratch, _cache(Path(scratch)) as cache:
            prepared(smoke, name)
            (cache / "spec.json").write_text(json.dumps(_asked(specs(smoke)[name])))
            with tarfile.open(out / f"{name}.tgz", "w:gz") as archive:
                for path in sorted(cache.iterdir()):
                    if name == RUN or path.name in ("spec.json", "prepared"):
                        archive.add(path, path.name)
        print(f"{out / name}.tgz: {(out / f'{name}.tgz').stat().st_size / 2**20:.1f} MiB", flush=True)


def unpack(smoke: bool, archives: Path, folder: Path) -> Store:
    """The data sets of `pack`.

    Raises:
        ValueError: an archive is missing, or holds another data set than this version asks for.
    """
    for name, spec in specs(smoke).items():
        if not (path := archives / f"{name}.tgz").is_file():
            raise ValueError(f"there is no {path}: make it with --prepare {archives}")
        with tarfile.open(path) as archive:
            archive.extractall(folder / name, filter="data")
        if json.loads((folder / name / "spec.json").read_text()) != _asked(spec):
            raise ValueError(f"{path} holds other data: make it anew with --prepare {archives}")
        for manifest in (folder / name / "prepared").glob("*/manifest.json"):
            if (found := check_prepared(manifest.parent)).damaged:
                raise ValueError(f"{found.sentence()} Make {path} anew with --prepare {archives}")
    return Store(smoke, folder)


def _asked(spec: Spec) -> dict[str, Any]:
    """What decides about the arrays."""
    tables: dict[str, Any] = spec.model_dump(mode="json", include={"data", "encoder"})
    del tables["data"]["dir"]
    return tables


@contextmanager
def _cache(folder: Path) -> Iterator[Path]:
    """Let the product's cache be this folder."""
    before = os.environ.get("GRAMBENCH_CACHE")
    os.environ["GRAMBENCH_CACHE"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["GRAMBENCH_CACHE"]
        else:
            os.environ["GRAMBENCH_CACHE"] = before
