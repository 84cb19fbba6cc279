"""Attention kernels on CUDA, chosen once per process.

cuDNN's kernels are never used. From torch 2.11 on they take precedence on Hopper for bf16 with a mask, and
build a plan for every new shape: an estimated 129 ms per shape, forward and backward, in one run on an H100.
"""

import contextlib
from typing import Literal

import torch

Attention = Literal["efficient", "math"]
_NAMES = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn", 4: "overrideable"}


def choose_attention(device: torch.device, attention: Attention = "efficient") -> None:
    """Set torch's switches for CUDA; a no-op on other devices.

    Args:
        device: where models will run.
        attention: `efficient` lets torch choose among its own kernels, `math` uses plain matrix products.
    """
    if device.type != "cuda":
        return
    backends = torch.backends.cuda
    for backend, enabled in (
        ("cudnn", False),
        ("flash", attention == "efficient"),
        ("mem_efficient", attention == "efficient"),
        ("math", True),
    ):
        switch = getattr(backends, f"enable_{backend}_sdp", None)  # cuDNN's was added in torch 2.5
        if switch is not None:
            switch(enabled)


def attention_in_use(device: torch.device, dtype: torch.dtype) -> str:
    """The kernels that torch uses for the encoder's attention, which has a mask."""
    query = torch.zeros(2, 2, 16, 64, device=device, dtype=dtype)
    mask = torch.ones(2, 1, 1, 16, dtype=torch.bool, device=device)
    with contextlib.suppress(Exception):  # a private function; other versions of torch may lack it
        return _NAMES.get(int(torch._fused_sdp_choice(query, query, query, mask)), "unknown")
    return "unknown"
