"""Every flipped bit of a prepared folder is found, by its own file's name."""

import json
import random
import shutil
from pathlib import Path

import pytest
from damage import flip, flip_later
from typer.testing import CliRunner

from grambench.config.presets import load_preset
from grambench.data.prepared.check import check_prepared, remove_folder
from grambench.data.prepared.manifest import MANIFEST_FILE, read_manifest
from grambench.data.prepared.sources import digests
from grambench.data.verify_prepared import damage, prepared_folders, verify_prepared
from grambench.domains.prepared import open_prepared
from grambench.errors import DataError
from grambench.worker.prepare import prepare_data

SMALL = (
    "data.synthetic={news = 60, users = 40, train_impressions = 40, dev_impressions = 20}",
    "encoder.architecture={hidden_size = 16, layers = 1, heads = 2}",
    "filter.nrms.heads=2",
)
ROUNDS = 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with arrays and a tokenizer, as a run prepares it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare_data(load_preset("demo", SMALL), lambda _: None)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "prepared" / whole.name))


def without_digests(folder: Path) -> None:
    """Make it a folder of version 0.1."""
    manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
    del manifest["files"], manifest["seal"]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1))


def test_every_file_has_a_digest(folder: Path) -> None:
    found = check_prepared(folder)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(found.files) == files - {MANIFEST_FILE}
    assert "tokenizer/tokenizer.json" in found.files
    assert (found.damaged, found.is_known) == ({}, True)
    assert found.bytes == sum((folder / name).stat().st_size for name in found.files)


def test_a_flipped_bit_is_found_in_every_file_wherever_it_is(folder: Path) -> None:
    draw, names = random.Random(5), sorted(read_manifest(folder).files)
    for _ in range(ROUNDS):
        bits = {name: draw.randrange(8 * (folder / name).stat().st_size) for name in names}
        for name, bit in bits.items():
            flip(folder / name, bit)
        assert sorted(check_prepared(folder).damaged) == names, bits
        for name, bit in bits.items():
            flip(folder / name, bit)
    assert check_prepared(folder).damaged == {}


def test_a_flipped_bit_of_the_manifest_is_found_wherever_it_is(folder: Path) -> None:
    draw, manifest = random.Random(6), folder / MANIFEST_FILE
    for _ in range(ROUNDS):
        bit = draw.randrange(8 * manifest.stat().st_size)
        flip(manifest, bit)
        with pytest.raises(DataError):
            read_manifest(folder)
        assert list(check_prepared(folder).damaged) == [MANIFEST_FILE], bit
        flip(manifest, bit)
    assert check_prepared(folder).damaged == {}


def test_a_file_that_is_gone_is_damage(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()
    assert list(check_prepared(folder).damaged) == ["tokenizer/tokenizer.json"]


def test_a_folder_of_an_earlier_version_is_readable_and_not_called_whole(folder: Path) -> None:
    without_digests(folder)
    flip(folder / "tokens.npy", 8 * 200)
    found = check_prepared(folder)
    assert (found.damaged, found.is_known) == ({}, False)
    assert len(open_prepared(folder).tokens) > 0
    assert {file.state for file in verify_prepared(folder).files} == {"not checked"}
    seen = {name: file.sha256 for name, file in found.files.items()}
    flip(folder / "tokens.npy", 8 * 200)
    assert list(check_prepared(folder, seen).damaged) == ["tokens.npy"]


def test_only_a_damaged_folder_is_removed(folder: Path) -> None:
    remove_folder(folder)
    assert folder.is_dir()
    flip(folder / "tokens.npy", 8 * 200)
    remove_folder(folder)
    assert not folder.exists()


def test_verify_checks_a_folder_and_a_cache(folder: Path) -> None:
    from grambench.cli.app import app

    cache = folder.parents[1]
    assert prepared_folders(folder) == prepared_folders(cache) == prepared_folders(folder.parent) == [folder]
    assert CliRunner().invoke(app, ["data", "verify", str(cache)]).exit_code == 0
    flip(folder / "test_candidate_labels.npy", 8 * 130)
    called = CliRunner().invoke(app, ["data", "verify", str(cache), "--json"])
    states = {file["path"]: file["state"] for file in json.loads(called.stdout)[0]["files"]}
    assert [name for name, state in states.items() if state != "whole"] == ["test_candidate_labels.npy"]
    assert isinstance(called.exception, DataError)
    assert str(folder / "test_candidate_labels.npy") in called.exception.message
    error = damage([verify_prepared(folder)])
    assert error is not None
    assert error.message == called.exception.message


def test_the_memory_of_digests_notices_a_write_that_restores_the_times(tmp_path: Path) -> None:
    source = tmp_path / "news.tsv"
    source.write_bytes(b"N1\tnews\n" * 100)

    def now(read_all: bool = False) -> str:
        return digests({"news": source}, tmp_path, lambda *_: None, read_all)["news"]

    before = now()
    flip_later(source, 80)
    assert now() != before
    flip_later(source, 80)
    assert now() == before


def test_a_wrong_memory_of_digests_is_corrected_where_everything_is_read(tmp_path: Path) -> None:
    source, memo = tmp_path / "news.tsv", tmp_path / ".sha256.json"
    source.write_bytes(b"N1\tnews\n" * 100)
    honest = digests({"news": source}, tmp_path, lambda *_: None)["news"]
    memo.write_text(memo.read_text().replace(honest, "0" * 64))
    assert digests({"news": source}, tmp_path, lambda *_: None)["news"] == "0" * 64
    assert digests({"news": source}, tmp_path, lambda *_: None, read_all=True)["news"] == honest
    assert digests({"news": source}, tmp_path, lambda *_: None)["news"] == honest
