"""The first thing to run on a GPU: everything that is claimed or predicted about one, in five minutes.

    python3 benchmarks/measure.py --prepare ARCHIVES                             # on a CPU, before
    python3 benchmarks/measure.py --out DIR --seconds 300 --prepared ARCHIVES    # on the GPU
    python3 benchmarks/measure.py --smoke                                        # every line, on a CPU

Claims: those of `targets.py` (the encoder's share of the matrix rate, the epoch of gram-1e, gram-1s against
e2e, sampling, a trial's start, a whole run), and by how much graphs, packed rows and the exact strategies may
differ. Beside what was found stands what the model of the first run on an H100 predicts.

The encoder has 6 layers, 768 wide, from scratch; the data have MIND-small's sizes and laws (56,980 news, all
156,965 train impressions), batch 256, history 50, bf16 autocast. Nothing is downloaded, nothing needs to be
installed. Sections come in the order of their worth, each in a process of its own; `--only epoch,encoder`
runs some. `DIR/measure.json` is written anew after every fact.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

BEGAN_S = time.monotonic()  # imports take seconds, too
ROOT = str(Path(__file__).resolve().parents[1])
if not __package__:  # run as a file: what lies beside it are no modules of their own
    sys.path[0] = ROOT
# for the processes that are started from here, where nothing is installed
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH", ""))))
# what is forked later has one thread and no CUDA: libraries start none, and ask NVML whether there is a GPU
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")

import torch  # noqa: E402
from transformers import BertModel  # noqa: E402, F401  # imported once, before the forks

from benchmarks import (  # noqa: E402
    gpu_attention,
    gpu_checks,
    gpu_encoder,
    gpu_epoch,
    gpu_exact,
    gpu_prepared,
    gpu_runs,
    gpu_strategies,
    gpu_waits,
    harness,
)
from benchmarks.gpu_lab import Lab  # noqa: E402
from benchmarks.gpu_sections import Section, look, run_sections  # noqa: E402
from benchmarks.gpu_sizes import FULL, SMOKE  # noqa: E402
from benchmarks.harness import Bench, quiet_machine  # noqa: E402

TITLE = "On an NVIDIA GPU: claims, and what the model of the first run predicted"
NO_GPU = 4
SECTIONS = (
    Section("data", gpu_prepared.first, 0, 300),
    Section("environment", gpu_attention.environment, 3, 20),
    Section("plans", gpu_attention.plans, 5, 25),
    Section("strategies", gpu_strategies.strategies, 20, 50),
    Section("epoch", gpu_epoch.epoch, 25, 60),
    Section("encoder", gpu_encoder.encoder, 10, 30),
    Section("exactness", gpu_exact.engines, 8, 25),
    Section("run", gpu_runs.whole_run, 60, 140),
    Section("nvml", gpu_waits.nvml, 15, 35),
    Section("compiled", gpu_encoder.compiled, 30, 75),
    Section("toeic", gpu_runs.toeic, 25, 60),
    Section("gradients", gpu_checks.gradients_of_strategies, 15, 40),
    Section("waits", gpu_waits.waits, 15, 35),
    Section("memory", gpu_checks.memory, 25, 45),
)


def main() -> int:
    """0: every claim met; 1: a section failed; 2: a wrong option; 4: no GPU; 6: a claim not met."""
    given = _options()
    if given.prepare:
        gpu_prepared.pack(given.smoke, Path(given.prepare))
        return 0
    wanted = given.only.split(",") if given.only else [section.name for section in SECTIONS]
    if unknown := set(wanted) - {section.name for section in SECTIONS}:
        print(f"--only: no section {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    quiet_machine()
    with tempfile.TemporaryDirectory(prefix="grambench-measure-") as scratch:
        out = Path(given.out or (scratch if given.smoke else harness.RESULTS))
        result = Bench("measure", TITLE, smoke=given.smoke, folder=out)
        store = gpu_prepared.Store(given.smoke)
        if given.prepared:
            try:
                store = gpu_prepared.unpack(given.smoke, Path(given.prepared), Path(scratch))
            except ValueError as error:
                print(f"--prepared: {error}", file=sys.stderr)
                return 2
        processes = look(result, "cpu" if given.smoke else given.device)
        if processes is None:
            print(f"torch {torch.__version__} sees no CUDA device; without one: --smoke", file=sys.stderr)
            return NO_GPU
        if given.commit:  # a machine that got a copy, without the history
            result.place["commit"] = given.commit
        sizes = SMOKE if given.smoke else FULL
        result.facts |= {
            "encoder": sizes.encoder.model_dump(),
            "batch": sizes.batch,
            "processes": processes.how,
            "seconds_allowed": given.seconds,
        }
        lab = Lab(result, torch.device(given.device), sizes, False, store, began_s=BEGAN_S)
        chosen = [section for section in SECTIONS if section.name in wanted]
        run_sections(lab, chosen, processes, BEGAN_S + given.seconds)
        code = result.finish()
    return 1 if "failed" in result.facts else code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=TITLE)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on a CPU, no claim")
    parser.add_argument("--out", default="", help="folder of the results; default: the checkout's")
    parser.add_argument("--seconds", type=float, default=300.0, help="for everything")
    parser.add_argument("--only", default="", help="sections, comma-separated")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--commit", default="", help="of the checkout, where git cannot tell it")
    parser.add_argument("--prepared", default="", help="folder with archives that --prepare has made")
    parser.add_argument("--prepare", default="", help="make these archives, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
