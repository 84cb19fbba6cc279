"""What the doctor's child says about torch."""

import json

import torch

from grambench.worker.torch_facts import torch_facts


def test_it_says_what_torch_is_and_which_kernels_it_uses() -> None:
    facts = json.loads(json.dumps(torch_facts()))
    assert (facts["version"], facts["cuda"]) == (torch.__version__, torch.version.cuda)
    assert facts["available"] == torch.cuda.is_available() == bool(facts["devices"])
    assert set(facts["attention"]) == {"float32", "bfloat16"}
    assert set(facts["attention"].values()) <= {"math", "flash", "efficient", "unknown"}
