"""What a worker says of itself."""

from importlib.metadata import PackageNotFoundError

import pytest

import grambench
from grambench.worker import device
from grambench.worker.device import gpu_uuid


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "grambench":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(device, "version", version)
    found = device.versions()
    assert found["grambench"] == grambench.__version__
    assert found["tokenizers"] == "1"


@pytest.mark.parametrize(
    ("visible", "index", "reported", "named"),
    [
        (None, 0, "aa-bb", "GPU-aa-bb"),
        ("", 0, "aa-bb", "GPU-aa-bb"),
        ("1,0", 1, "aa-bb", "GPU-aa-bb"),
        ("GPU-aa", 0, "aa-bb", "GPU-aa-bb"),
        ("MIG-cc", 0, "aa-bb", "MIG-cc"),
        (" MIG-GPU-aa-bb/7/0 ", 0, "aa-bb", "MIG-GPU-aa-bb/7/0"),
        ("MIG-cc", 1, "MIG-dd", "MIG-dd"),
    ],
)
def test_a_mig_slice_is_known_by_what_made_it_visible(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, index: int, reported: str, named: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_uuid(index, reported) == named
