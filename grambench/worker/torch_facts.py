"""`python -m grambench.worker.torch_facts`: what torch is and what it finds here, as JSON; for the doctor."""

import json
import sys
from typing import Any

import torch

from grambench.models.attention import attention_in_use, choose_attention


def torch_facts() -> dict[str, Any]:
    """Version and build of torch, its CUDA devices, and the kernels of the encoder's attention."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    choose_attention(device)
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "available": device.type == "cuda",
        "trouble": "" if device.type == "cuda" or torch.version.cuda is None else _trouble(),
        "devices": [_device(index) for index in range(torch.cuda.device_count())]
        if device.type == "cuda"
        else [],
        "bf16": device.type == "cuda" and torch.cuda.is_bf16_supported(),
        "attention": {
            str(dtype).removeprefix("torch."): attention_in_use(device, dtype)
            for dtype in (torch.float32, torch.bfloat16)
        },
    }


def _trouble() -> str:
    """Why a CUDA build of torch sees no device."""
    try:
        torch.cuda.init()
    except Exception as error:  # of the driver, of any type
        return str(error).strip().split("\n")[0]
    return "torch lists no CUDA device"


def _device(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(torch_facts()))
