"""The audit of ranks: says yes to two gloo ranks, and no to a group that is a little off."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_systems as tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from grambench.config.networks import Filter
from grambench.config.ranks import Ranks
from grambench.config.spec import Spec, Training
from grambench.errors import ExitCode, MachineError
from grambench.events import types as ev
from grambench.events.state import RunState
from grambench.runner.supervisor import exit_code
from grambench.training.audit import Differences, audit, audited_ranks, differences_of_ranks
from grambench.training.group import Group
from grambench.views.console import ranks_lines
from grambench.worker import audit_ranks

RANKS = 2
SPEC = Spec(
    encoder=tiny.encoder_spec(),
    filter=Filter(history=5, nrms={"heads": tiny.HEADS, "query": tiny.QUERY}),
    training=Training(negatives=3, batch_size=6),
    ranks=Ranks(nproc=RANKS),
)


class Averaging(Group):
    """As DistributedDataParallel would: the mean over ranks of gradients of the mean loss."""

    def sum_gradients(self, parameters: Sequence[nn.Parameter], found: Tensor) -> None:
        super().sum_gradients(parameters, found)
        for parameter in parameters:
            parameter.grad.div_(self.size)


class Overflowing(Group):
    """One rank's gradients become infinite."""

    def sum_gradients(self, parameters: Sequence[nn.Parameter], found: Tensor) -> None:
        if self.rank:
            parameters[0].grad = torch.full_like(parameters[0], math.inf)
        super().sum_gradients(parameters, found)


GROUPS = {"honest": Group, "averaging": Averaging, "overflowing": Overflowing}


def as_rank(rank: int, folder: str) -> None:
    """Audit with every group as one of the ranks."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    found = {name: differences_of_ranks(SPEC, tiny.tiny_data(), group()) for name, group in GROUPS.items()}
    if rank == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
    else:
        assert set(found.values()) == {None}
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone() -> ev.AuditFinished:
    """The audit of one process."""
    return audited(None)


@pytest.fixture(scope="module")
def found(alone: ev.AuditFinished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Differences]:
    """By group: the differences of two ranks from one process; forked once the libraries are loaded."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(as_rank, (str(folder),), RANKS, start_method="fork")
    return json.loads((folder / "found.json").read_text())


def audited(found: Differences | None) -> ev.AuditFinished:
    return audit(SPEC, tiny.tiny_data(), tiny.CPU, of_ranks=None if found is None else lambda: found)


def test_two_ranks_have_the_gradients_of_one_process(found: dict[str, Differences]) -> None:
    result = audited(found["honest"])
    assert (result.passed, result.ranks, result.ranks_equivalent) == (True, RANKS, True)
    assert 0 < result.ranks_relative < 1e-12
    (line,) = ranks_lines(result)
    assert line.startswith("2 ranks have the gradients of one process (largest relative difference ")


def test_ranks_are_audited_as_the_first_trial_trains_its_encoder() -> None:
    trials = ({"strategy": "gram-1s", "encoder.adapt": "none"},)
    spec = SPEC.model_validate(SPEC.model_dump() | {"trials": trials})
    plain = spec.encoder.model_copy(update={"pooling": "mean"})
    found = differences_of_ranks(spec.model_copy(update={"encoder": plain}), tiny.tiny_data(), Group())
    assert found is not None
    assert found["encoder"] == (0.0, 0.0)  # nothing of it is trained
    assert 0 < found["filter"][1] < 1e-12


def test_averaged_gradients_are_not_equivalent(found: dict[str, Differences]) -> None:
    result = audited(found["averaging"])
    assert (result.equivalent, result.ranks_equivalent, result.passed) == (True, False, False)
    assert result.ranks_relative == pytest.approx(0.5, rel=1e-9)
    assert ranks_lines(result)[0].startswith("2 ranks do NOT have the gradients of one process")
    state = RunState()
    state.setup.outcome, state.setup.audit = "completed", result
    assert exit_code(state) == ExitCode.NOT_EQUIVALENT


def test_a_gradient_that_one_rank_finds_infinite_differs_infinitely(found: dict[str, Differences]) -> None:
    assert found["overflowing"]["encoder"] == [math.inf, math.inf]
    assert found["overflowing"]["filter"][0] < 1e-12


def test_one_process_has_no_ranks_to_audit_and_many_are_audited_as_three(alone: ev.AuditFinished) -> None:
    assert (alone.passed, alone.ranks, alone.ranks_relative) == (True, 1, None)
    assert ranks_lines(alone) == []
    sizes = [audited_ranks(SPEC.model_copy(update={"ranks": Ranks(nproc=n)})) for n in (1, 2, 3, 64)]
    assert sizes == [1, 2, 3, 3]


def python(code: str) -> list[str]:
    return [audit_ranks.sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys, time; sys.argv[1] == '1' and sys.exit(3); time.sleep(600)", "rank 1 ended with code 3"),
        ("import os, sys, time; sys.argv[1] == '0' and os.kill(os.getpid(), 9); time.sleep(600)", "code -9"),
    ],
)
def test_a_rank_that_fails_ends_the_others_and_the_audit(
    code: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_ranks, "_COMMAND", python(code))
    with audit_ranks.AuditedRanks(SPEC, Path(), RANKS) as ranks, pytest.raises(MachineError, match=why):
        ranks.differences()
    assert all(rank.poll() is not None for rank in ranks._ranks)


def test_a_rank_ends_with_the_setup_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of its standard input is that of the worker; it does not even load torch."""
    started: dict[str, Any] = {}
    honest = audit_ranks.subprocess.Popen

    def start(*arguments: Any, **options: Any) -> Any:
        started["rank"] = process = honest(*arguments, **options)
        process.stdin.close()
        return process

    monkeypatch.setattr(audit_ranks.subprocess, "Popen", start)
    with audit_ranks.AuditedRanks(SPEC, Path(), 1):
        assert started["rank"].wait(timeout=60) == ExitCode.STOPPED
