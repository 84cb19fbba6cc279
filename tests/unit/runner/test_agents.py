"""Agents: their command lines, and the ranks that they leave behind."""

import os
import subprocess
import sys
from pathlib import Path

from grambench.config.ranks import Ranks
from grambench.runner.agents import LEADS, command, environment, launched, ranks_of
from grambench.worker import ranks as worker_ranks

TWO = Ranks(nproc=2)
NODES = Ranks(nproc=8, nnodes=4, endpoint="node0:29400", restarts=1)


def words_after(line: list[str], option: str) -> str:
    return line[line.index(option) + 1]


def test_one_machine_meets_itself() -> None:
    line = command(Path("/runs/a"), "cuda", launched("gram-1s.s0", TWO, 1))
    assert "--standalone" in line
    assert words_after(line, "--nproc-per-node") == "2"
    assert words_after(line, "--max-restarts") == "3"
    assert line[-7:] == ["-P", "-m", "grambench.worker", "rank", "/runs/a", "gram-1s.s0", "cuda"]


def test_machines_meet_under_a_new_name_each_time() -> None:
    first, second = (launched("e2e.s0", NODES, attempt) for attempt in (1, 2))
    line = command(Path("/runs/a"), "cuda", first)
    assert words_after(line, "--rdzv-endpoint") == "node0:29400"
    assert words_after(line, "--nnodes") == "4"
    assert words_after(line, "--rdzv-id") == first.rendezvous != second.rendezvous


def test_only_the_supervisors_agent_leads() -> None:
    assert environment({"A": "b"}, leads=True) == {"OMP_NUM_THREADS": "1", "A": "b", LEADS: "1"}
    assert environment({"OMP_NUM_THREADS": "4"}, leads=False) == {"OMP_NUM_THREADS": "4", LEADS: "0"}
    assert worker_ranks.LEADS == LEADS


def test_ranks_are_found_without_their_agent(tmp_path: Path) -> None:
    """By their command line; those of other runs and trials are left alone."""
    words = [["/runs/a", "e2e.s0"], ["/runs/a", "e2e.s1"], ["/runs/ab", "e2e.s0"]]
    started = [_pretended(tmp_path / str(number), each) for number, each in enumerate(words)]
    try:
        found = [process.pid for process in ranks_of(Path("/runs/a"), "e2e.s0")]
        assert found == [started[0].pid]
    finally:
        for process in started:
            process.kill()
            process.wait()


def _pretended(folder: Path, words: list[str]) -> "subprocess.Popen[bytes]":
    """A process whose command line is a rank's."""
    line = ["-P", "-m", "grambench.worker", "rank", *words, "cpu"]
    script = "import sys, time; print(flush=True); time.sleep(600)"
    (folder / "grambench").mkdir(parents=True)
    (folder / "grambench" / "__init__.py").touch()
    (folder / "grambench" / "worker.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, *line], env={**os.environ, "PYTHONPATH": str(folder)}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process
