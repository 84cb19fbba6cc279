"""LoRA's updates in the format of the peft library, beside an exported model in which they are merged."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from grambench.config.exported import ADAPTER
from grambench.config.networks import Encoder
from grambench.models.encoders.lora import lora_modules


def save_adapter(backbone: nn.Module, spec: Encoder, base: str | None, folder: Path) -> None:
    """Write what `peft.PeftModel.from_pretrained(AutoModel.from_pretrained(base), folder / "adapter")` reads.

    Nothing is written without updates, or for a transformer from scratch, whose frozen weights nobody has.

    Args:
        backbone: the transformer with its updates.
        spec: the `encoder` table.
        base: name of the pretrained model; None: it is not named.
        folder: of the exported model.
    """
    updates = lora_modules(backbone)
    if not updates or spec.model is None:
        return
    settings = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "r": spec.lora.rank,
        "lora_alpha": spec.lora.alpha,
        "lora_dropout": 0.0,
        "use_rslora": spec.lora.scaling == "sqrt-rank",
        "target_modules": list(updates),
        "fan_in_fan_out": any(part.transposed for part in updates.values()),
        "bias": "none",
        "inference_mode": True,
    }
    weights = {
        f"base_model.model.{path}.{name}.weight": getattr(part, name).detach().clone()
        for path, part in updates.items()
        for name in ("lora_A", "lora_B")
    }
    (folder / ADAPTER).mkdir()
    (folder / ADAPTER / "adapter_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    save_file(weights, folder / ADAPTER / "adapter_model.safetensors")
