"""How the workers of a test's runs start."""

import pytest

from grambench.runner.starts import CHOICE


@pytest.fixture(autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's choice, or that of `BOTH_WAYS`."""
    if hasattr(request, "param"):
        monkeypatch.setenv(CHOICE, request.param)
