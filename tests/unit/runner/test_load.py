"""The kernel's counters of load, and control groups, in folders of the test; and a stopped process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from grambench.runner.groups import how_stopped, quota_cpus, quota_files
from grambench.runner.load import LoadReader, Rates, _sum_of


def test_a_rate_needs_two_readings_that_do_not_fall() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    found = []
    for count in (100.0, 150.0, None, 150.0, 10.0, 30.0):
        found.append(rates.per_s("x", count))
        now[0] += 2.0
    assert found == [None, 25.0, None, None, None, 10.0]


def test_the_thread_that_waits_longest_tells_how_a_process_waits(tmp_path: Path) -> None:
    def waits(**nanoseconds: int) -> None:
        for thread, wait in nanoseconds.items():
            place = tmp_path / "7" / "task" / thread.strip("t")
            place.mkdir(parents=True, exist_ok=True)
            (place / "schedstat").write_text(f"900 {wait} 5\n")

    now = [10.0]
    reader = LoadReader(lambda: now[0], proc=tmp_path)
    waits(t7=0, t8=10**9)
    assert reader.waiting_percent(7) is None
    now[0] += 0.5
    waits(t7=50_000_000, t8=10**9 + 200_000_000, t9=4 * 10**9)  # the third has just begun
    assert reader.waiting_percent(7) == pytest.approx(40.0)
    reader.forget(7)
    assert reader.waiting_percent(7) is None
    assert reader.waiting_percent(8) is None


def test_major_faults_are_read_behind_a_name_with_blanks(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    now = [10.0]
    reader = LoadReader(lambda: now[0], proc=tmp_path)
    for faults in (100, 120):
        fields = ["S", *map(str, range(8)), str(faults), "0"]
        (tmp_path / "7" / "stat").write_text(f"7 (a) b) {' '.join(fields)}\n")
        rate = reader.major_faults_per_s(7)
        now[0] += 2.0
    assert rate == 10.0


def test_this_machine_is_measured() -> None:
    reader = LoadReader()
    reader.host(), reader.waiting_percent(os.getpid())
    time.sleep(0.02)
    load = reader.host()
    assert load.cpus == len(os.sched_getaffinity(0))
    assert load.busy_cpus is not None
    assert 0 <= load.busy_cpus <= load.cpus
    if Path("/proc/self/schedstat").exists():
        assert 0 <= (reader.waiting_percent(os.getpid()) or 0.0) <= 100


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Path, Path]:
    """Roots of the control groups and of /proc, with one process in a group of both versions."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    for pid in ("self", str(os.getpid())):
        (proc / pid).mkdir(parents=True)
        (proc / pid / "cgroup").write_text("4:cpu,cpuacct:/old\n3:freezer:/old\n0::/new/inner\n")
    for folder in ("new/inner", "cpu,cpuacct/old", "freezer/old"):
        (root / folder).mkdir(parents=True)
    return root, proc


def test_quotas_of_the_group_and_its_parents_are_found(groups: tuple[Path, Path]) -> None:
    root, proc = groups
    (root / "new/inner/cpu.max").write_text("max 100000\n")
    (root / "cpu,cpuacct/old/cpu.cfs_quota_us").write_text("-1\n")
    assert quota_files(root, proc) == []
    assert quota_cpus(root, proc) is None
    assert _sum_of([]) is None
    (root / "new/cpu.max").write_text("150000 100000\n")
    (root / "new/cpu.stat").write_text("usage_usec 5\nthrottled_usec 2500000\n")
    (root / "cpu,cpuacct/old/cpu.cfs_quota_us").write_text("50000\n")
    (root / "cpu,cpuacct/old/cpu.stat").write_text("nr_throttled 3\nthrottled_time 500000000\n")
    files = quota_files(root, proc)
    assert {path.parent.name for path, _, _ in files} == {"new", "old"}
    assert _sum_of(files) == 3.0
    assert quota_cpus(root, proc) == 1.5
    (root / "cpu,cpuacct/old/cpu.cfs_period_us").write_text("100000\n")
    assert quota_cpus(root, proc) == 0.5


@pytest.mark.parametrize(
    ("file", "text"),
    [("new/cgroup.events", "populated 1\nfrozen 1\n"), ("freezer/old/freezer.state", "FROZEN\n")],
)
def test_a_frozen_group_is_seen(groups: tuple[Path, Path], file: str, text: str) -> None:
    root, proc = groups
    assert how_stopped(os.getpid(), root, proc) == ""
    (root / file).write_text(text)
    assert how_stopped(os.getpid(), root, proc) == "frozen by its control group"


def test_a_stopped_process_is_seen_and_one_that_has_ended_is_not() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.005)
    assert how_stopped(child.pid) == "stopped by a signal or a debugger"
    process.resume()
    child.kill()
    child.communicate()
    assert how_stopped(child.pid) == ""
