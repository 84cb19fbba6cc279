"""One bench for all tests that start real runs."""

from collections.abc import Iterator

import pytest
from live_runs import CHUNK, FAMILIES, MICRO_BATCH, Bench, Command


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Preset, cache and commands; whatever is left running is killed at the end."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.end_everything()


@pytest.fixture(scope="session")
def begun(bench: Bench) -> Command:
    """A run of every family of strategies: it trains in the background while other tests run."""
    settings = (f"training.micro_batch={MICRO_BATCH}", f"training.encoder_chunk={CHUNK}")
    changes = [word for setting in settings for word in ("--set", setting)]
    return bench.run("--json", "--strategies", ",".join(FAMILIES), *changes)
