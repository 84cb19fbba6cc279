"""Every test of tiny systems runs twice: plainly, and as a GPU would be driven."""

from collections.abc import Iterator

import pytest
import tiny_systems

PLAIN, DRIVEN = "buckets, plain steps", "packed rows, fixed shapes"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = vars(metafunc.module)
    if "tiny_system" in names or "tiny_encoder" in names:
        metafunc.parametrize("engine", [PLAIN, DRIVEN], indirect=True)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """How the tiny systems of a test encode and step."""
    tiny_systems.DRIVEN_AS_A_GPU = getattr(request, "param", PLAIN) == DRIVEN
    yield
    tiny_systems.DRIVEN_AS_A_GPU = False
