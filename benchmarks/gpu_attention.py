"""Sections of `benchmarks.measure` without data: what the machine is, and what an attention plan costs."""

import statistics
import subprocess

import torch
from torch.nn import functional

from benchmarks.gpu_lab import Lab, cudnn_attention
from benchmarks.harness import Sample
from grambench.models.attention import attention_in_use

QUERY = (
    "name", "driver_version", "vbios_version", "pstate", "clocks.sm", "clocks.mem", "clocks.max.sm",
    "power.draw", "power.limit", "memory.total",
)  # fmt: skip
PLANNED = {
    True: ("cuDNN on", "110 to 140 ms", "below 1 ms"),
    False: ("cuDNN off", "below 5 ms", "below 1 ms"),
}
HEADS, POSITIONS, FEATURES = 12, 16, 64


def environment(lab: Lab) -> None:
    """Versions, the attention that torch takes, the GPU's driver and clocks idle and at work."""
    import transformers

    cudnn = torch.backends.cudnn.version() if lab.cuda else None
    lab.result.facts["versions"] = {
        "torch": torch.__version__, "transformers": transformers.__version__,
        "cuda": torch.version.cuda, "cudnn": cudnn,
    }  # fmt: skip
    lab.row(
        "versions", f"torch {torch.__version__}, cuDNN {cudnn}", f"transformers {transformers.__version__}"
    )
    dtype = torch.bfloat16 if lab.cuda else torch.float32
    for on, expected in ((True, "cudnn"), (False, "efficient")):
        with cudnn_attention(on):
            found = attention_in_use(lab.device, dtype)
        lab.row(f"attention with a mask, {PLANNED[on][0]}", found, predicted=expected)
    if not lab.cuda:
        lab.left_out("driver and clocks", "no CUDA device")
        return
    lab.result.facts["nvidia-smi, idle"] = nvidia_smi()
    size = lab.sizes.matrix
    a = torch.randn(size, size, device=lab.device).bfloat16()
    out = torch.empty_like(a)
    for _ in range(500):  # queued, not waited for: the reading falls into the work
        torch.mm(a, a, out=out)
    lab.result.facts["nvidia-smi, at work"] = at_work = nvidia_smi()
    lab.synchronize()
    lab.row("GPU at work", ", ".join(at_work.values()))


def nvidia_smi() -> dict[str, str]:
    """Readings of the first GPU, or why there are none."""
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return {"none": str(error)}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(QUERY, values, strict=False))


def plans(lab: Lab) -> None:
    """The first call of attention with a number of rows against later ones, forwards and backwards."""
    for on, (name, first_expected, later_expected) in PLANNED.items():
        first_ms, later_ms = [], []
        with cudnn_attention(on):
            for number, rows in enumerate(lab.sizes.attention_rows):
                seconds = _calls(lab, rows)
                if number:  # with the very first number of rows, kernels are loaded too
                    first_ms.append(1e3 * seconds[0])
                    later_ms.append(1e3 * statistics.median(seconds[1:]))
        lab.found(f"{name}: first call", Sample(tuple(first_ms)), "ms", predicted=first_expected)
        lab.found(f"{name}: later calls", Sample(tuple(later_ms)), "ms", predicted=later_expected)


def _calls(lab: Lab, rows: int) -> list[float]:
    """Seconds of each of four calls; heads lie as the encoder has them, so that strides are its own."""
    dtype = torch.bfloat16 if lab.cuda else torch.float32
    shape = rows, POSITIONS, HEADS, FEATURES
    query, key, value = (
        torch.randn(shape, device=lab.device, dtype=dtype, requires_grad=True) for _ in range(3)
    )
    mask = torch.rand(rows, 1, 1, POSITIONS, device=lab.device) > 0.2
    mask[..., 0] = True
    gradient = torch.randn(rows, HEADS, POSITIONS, FEATURES, device=lab.device, dtype=dtype)

    def call() -> None:
        query_R, key_R, value_R = (part.transpose(1, 2) for part in (query, key, value))
        functional.scaled_dot_product_attention(query_R, key_R, value_R, attn_mask=mask).backward(gradient)

    return [lab.waited_seconds(call) for _ in range(4)]
