"""A run of everything, for tests that only look at one."""

import pytest
from live_runs import CHUNK, FAMILIES, MICRO_BATCH, Bench, Command


@pytest.fixture(scope="session")
def begun(bench: Bench) -> Command:
    """A run of every family of strategies: it trains in the background while other tests run."""
    settings = (f"training.micro_batch={MICRO_BATCH}", f"training.encoder_chunk={CHUNK}")
    changes = [word for setting in settings for word in ("--set", setting)]
    return bench.run("--json", "--strategies", ",".join(FAMILIES), *changes)
