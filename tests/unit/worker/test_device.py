"""What a worker says of itself."""

from importlib.metadata import PackageNotFoundError

import pytest

import grambench
from grambench.worker import device


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "grambench":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(device, "version", version)
    found = device.versions()
    assert found["grambench"] == grambench.__version__
    assert found["tokenizers"] == "1"
