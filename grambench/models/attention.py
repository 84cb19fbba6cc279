"""Which kernels attention takes on CUDA, chosen once a process.

cuDNN's are never taken. From torch 2.11 on they come first on Hopper for bf16 with a mask, and build a plan
for every new shape: by our reckoning of one run on an H100, 129 ms forwards and backwards each.
"""

import contextlib
from typing import Literal

import torch

Attention = Literal["efficient", "math"]
_NAMES = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn", 4: "overrideable"}


def choose_attention(device: torch.device, attention: Attention = "efficient") -> None:
    """Set torch's switches for CUDA; nothing on another device.

    Args:
        device: where models will run.
        attention: `efficient` leaves the choice among its own kernels to torch, `math` takes plain products.
    """
    if device.type != "cuda":
        return
    backends = torch.backends.cuda
    for kind, wanted in (
        ("cudnn", False),
        ("flash", attention == "efficient"),
        ("mem_efficient", attention == "efficient"),
        ("math", True),
    ):
        switch = getattr(backends, f"enable_{kind}_sdp", None)  # cuDNN's came with torch 2.5
        if switch is not None:
            switch(wanted)


def attention_in_use(device: torch.device, dtype: torch.dtype) -> str:
    """The kernels that torch takes for the encoder's attention, which has a mask."""
    query = torch.zeros(2, 2, 16, 64, device=device, dtype=dtype)
    mask = torch.ones(2, 1, 1, 16, dtype=torch.bool, device=device)
    with contextlib.suppress(Exception):  # a private function, absent or changed in another torch
        return _NAMES.get(int(torch._fused_sdp_choice(query, query, query, mask)), "unknown")
    return "unknown"
