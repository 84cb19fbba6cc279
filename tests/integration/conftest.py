"""One bench for all tests that start real runs."""

from collections.abc import Iterator

import pytest
from live_runs import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Preset, cache and commands; whatever is left running is killed at the end."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.end_everything()
