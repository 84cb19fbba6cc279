import hashlib
import multiprocessing
import os
import select
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grambench.errors import DataError
from grambench.fs import (
    discard,
    locked,
    open_owned,
    own_folder,
    read_regular,
    safe_join,
    sha256_file,
    sync_folder,
    whole_folder,
    write_atomic,
)

LIMITED = """
import resource, signal, sys
from pathlib import Path
from grambench.fs import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path(sys.argv[1]), "n" * 5000)
except OSError as error:
    print(error.errno)
"""
HOLDER = """
import sys
from pathlib import Path
from grambench.fs import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(("content", "data"), [("süß\n", "süß\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_text_and_bytes_are_written_whole(tmp_path: Path, content: str | bytes, data: bytes) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, content)
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["a.json"]


def failing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if name == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with monkeypatch.context() as patch:
        failing(step, patch)
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.json", "new")
    assert names(tmp_path) == []


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "27"  # EFBIG, what the kernel says to a file over its limit
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_text_that_is_no_utf8_fails_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_atomic(tmp_path / "a.json", "\ud800")
    assert names(tmp_path) == []


def test_readers_see_the_old_or_the_new_file_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    contents = [letter * 100_000 for letter in "ab"]
    write_atomic(path, contents[0])
    writer = multiprocessing.get_context("fork").Process(target=write_in_turns, args=(path, contents))
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(path.read_text())
    writer.join()
    assert writer.exitcode == 0
    assert seen <= set(contents)


def write_in_turns(path: Path, contents: list[str]) -> None:
    for turn in range(30):
        write_atomic(path, contents[turn % 2])


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "a", "x")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")


def test_a_lock_is_held_between_processes_until_its_holder_ends(tmp_path: Path) -> None:
    lock = tmp_path / "deep" / "a.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waiter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    processes = [holder, waiter]
    try:
        ready = first_of(processes)
        other = next(process for process in processes if process is not ready)
        assert other.stdout is not None
        os.set_blocking(other.stdout.fileno(), False)
        time.sleep(0.2)
        assert not other.stdout.read()
        ready.kill()  # a killed holder lets go as well
        ready.wait()
        os.set_blocking(other.stdout.fileno(), True)
        assert other.stdout.readline() == b"held\n"
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def first_of(processes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The process that first says that it holds the lock."""
    ready, _, _ = select.select([process.stdout for process in processes if process.stdout], [], [], 30)
    (first,) = (process for process in processes if process.stdout in ready)
    assert first.stdout is not None
    assert first.stdout.readline() == b"held\n"
    return first


def test_a_lock_is_let_go_after_an_error_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with pytest.raises(ValueError, match="inside"), locked(lock):
        raise ValueError("inside")
    with locked(lock):
        pass


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digests_are_those_of_hashlib(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["a.txt", "x/y.txt", "x/../y", "./a", "..a", "a/..b"])
def test_names_inside_the_folder_are_joined(tmp_path: Path, name: str) -> None:
    assert safe_join(tmp_path, name).is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "x/../../y", "..", "x/../../../../tmp"])
def test_names_that_climb_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="outside"):
        safe_join(tmp_path / "folder", name)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(DataError):
        safe_join(folder, "link/x")


@pytest.fixture(params=[0o027, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_the_umask_decides_the_permissions(tmp_path: Path, umask: int) -> None:
    write_atomic(tmp_path / "a", "x")
    os.close(open_owned(tmp_path / "log"))
    with locked(tmp_path / "lock"), whole_folder(tmp_path / "made") as folder:
        (folder / "b").touch()
    own_folder(tmp_path / "deep" / "own")
    for path in tmp_path.rglob("*"):
        wanted = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == wanted & ~umask, path


def planted(tmp_path: Path, how: str) -> tuple[Path, Path]:
    """A victim's file, and what an attacker has put where grambench will write."""
    victim, path = tmp_path / "victim", tmp_path / "log"
    victim.write_text("precious")
    if how == "fifo":
        os.mkfifo(path)
    elif how == "hard link":
        path.hardlink_to(victim)
    else:
        path.symlink_to(victim if how == "link" else tmp_path / "absent")
    return victim, path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("link", "it is a symbolic link"),
        ("dangling link", "it is a symbolic link"),
        ("hard link", "a hard link"),
        ("fifo", "not a regular file"),
    ],
)
def test_what_is_planted_is_not_appended_to(tmp_path: Path, how: str, words: str) -> None:
    victim, path = planted(tmp_path, how)
    with pytest.raises(OSError, match=words):
        open_owned(path)
    with pytest.raises(OSError, match=words), locked(path):
        pass
    write_atomic(path, "new")  # takes its place
    assert (path.read_text(), path.is_symlink()) == ("new", False)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "absent").exists()


def test_a_folder_that_is_a_link_is_refused_and_only_the_link_discarded(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "a").touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="it is a symbolic link"):
        own_folder(link)
    discard(link)
    assert not link.is_symlink()
    assert (tmp_path / "victim" / "a").exists()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    _, fifo = planted(tmp_path, "fifo")
    with pytest.raises(OSError, match="it is not a regular file"):  # and does not wait for a writer
        read_regular(fifo)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
    (tmp_path / "alias").symlink_to(tmp_path / "victim")
    assert read_regular(tmp_path / "alias") == b"precious"
