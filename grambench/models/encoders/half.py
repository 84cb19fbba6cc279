"""Run a module on bf16 copies of its fp32 weights; the gradients go to the fp32 weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class _Copies(torch.autograd.Function):
    """bf16 copies of tensors, made in one go; gradients are returned in the tensors' own precision."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.dtypes = [weight.dtype for weight in weights]
        copies = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in weights]
        torch._foreach_copy_(copies, list(weights))
        return tuple(copies)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        known = [(g, dtype) for g, dtype in zip(gradients, ctx.dtypes, strict=True) if g is not None]
        wide = [torch.empty_like(g, dtype=dtype) for g, dtype in known]
        if wide:
            torch._foreach_copy_(wide, [g for g, _ in known])
        back = iter(wide)
        return tuple(None if g is None else next(back) for g in gradients)


def in_bf16(module: nn.Module, **inputs: Tensor) -> Any:
    """The module's output with all parameters in bf16; gradients reach the trained fp32 parameters."""
    named = dict(module.named_parameters())
    trained = {name: weight for name, weight in named.items() if weight.requires_grad}
    frozen = {name: weight for name, weight in named.items() if not weight.requires_grad}
    # apart from the trained ones, beside which their copies would get gradients as well
    copies = {**_copies(trained), **_copies(frozen)}
    return functional_call(module, copies, (), inputs)


def _copies(named: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    if not named:
        return {}
    return dict(zip(named, _Copies.apply(*named.values()), strict=True))  # type: ignore[no-untyped-call]
