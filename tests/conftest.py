"""Settings of all tests; its folder is on the path, so that tests find the helpers beside it."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from live_runs import Bench

for name in ("CI", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
    os.environ.pop(name, None)  # who runs the tests, and where, changes no screen
os.environ["TERM"] = "xterm-256color"

settings.register_profile("grambench", deadline=None)  # a slow machine is no failure
settings.load_profile("grambench")

# of nohup and of a shell's background jobs; children would inherit it
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and not in the libraries: it took a quarter of the time of tests/tui."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Preset, cache and commands of real runs; whatever is left running is killed at the end."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.end_everything()
