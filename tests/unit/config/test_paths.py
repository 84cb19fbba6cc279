from pathlib import Path

import platformdirs
import pytest

from grambench.config.paths import cache_dir, dataset_dir, prepared_dir


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    assert dataset_dir("mind-small").is_relative_to(tmp_path)
    assert prepared_dir().is_relative_to(tmp_path)
    assert prepared_dir() != dataset_dir("mind-small").parent


def test_a_tilde_in_the_environment_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GRAMBENCH_CACHE", "~/cache")
    assert cache_dir() == tmp_path / "cache"


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_wish_it_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("GRAMBENCH_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("GRAMBENCH_CACHE", value)
    assert cache_dir() == platformdirs.user_cache_path("grambench")
