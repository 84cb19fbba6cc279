"""The processes of the audit of ranks, started by the setup worker on this machine.

`python -m grambench.worker audit RANK SIZE PORT`. Specification, result and errors are in a TCPStore of the
setup worker. Standard input is a pipe that nothing is written to: its end ends a rank, whatever the setup
worker died of.
"""

import json
import subprocess
import sys
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from grambench.config.spec import Spec
from grambench.errors import MachineError

if TYPE_CHECKING:
    from grambench.training.audit import Differences

_HOST = "127.0.0.1"
_TASK, _FOUND, _ERROR = "task", "found", "error"
"""Keys of the store."""
_LOOK_S = 0.1
_COMMAND = [sys.executable, "-P", "-m", "grambench.worker", "audit"]


class AuditedRanks:
    """The running processes; leaving the context ends them."""

    def __init__(self, spec: Spec, folder: Path, size: int) -> None:
        """
        Args:
            spec: with what the run's probe has chosen.
            folder: of the prepared data.
            size: W.
        """
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        self._store = TCPStore(_HOST, 0, None, True, timedelta(seconds=spec.hang_s), wait_for_workers=False)
        self._store.set(_TASK, json.dumps({"spec": spec.model_dump(mode="json"), "folder": str(folder)}))
        numbers = (str(size), str(self._store.port))
        self._ranks = [
            subprocess.Popen([*_COMMAND, str(rank), *numbers], stdin=subprocess.PIPE, stdout=2)
            for rank in range(size)
        ]

    def differences(self) -> "Differences":
        """Wait for the result; see `training.audit.differences_of_ranks`.

        Raises:
            MachineError: a rank has failed.
        """
        while None in (codes := [rank.poll() for rank in self._ranks]) and not any(codes):
            time.sleep(_LOOK_S)
        if any(codes):
            number, code = next((number, code) for number, code in enumerate(codes) if code)
            why = f"rank {number} ended with code {code}"
            if self._store.check([_ERROR]):
                why = self._store.get(_ERROR).decode()
            raise MachineError(
                f"The gradients of {len(codes)} ranks could not be compared with one process's: {why}.",
                "Ranks on one machine need its loopback device, and memory for a copy of the model each.",
            )
        return {name: (pair[0], pair[1]) for name, pair in json.loads(self._store.get(_FOUND)).items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for rank in self._ranks:
            rank.kill()
            rank.wait()
            assert rank.stdin is not None
            rank.stdin.close()


def main(arguments: list[str]) -> int:
    """Be one of the ranks; the exit code is not 0 where that failed.

    Args:
        arguments: `RANK SIZE PORT`.
    """
    from grambench.worker.main import end_with_parent, quiet_libraries

    threading.Thread(target=end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    quiet_libraries()
    rank, size, port = map(int, arguments)
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(_HOST, port, None, False)
    try:
        _audit(rank, size, store)
    except Exception as error:
        traceback.print_exc()
        store.compare_set(_ERROR, "", f"rank {rank}: {type(error).__name__}: {error}".rstrip("."))
        return 1
    return 0


def _audit(rank: int, size: int, store: "TCPStore") -> None:  # type: ignore[name-defined]  # noqa: F821
    import psutil
    import torch
    import torch.distributed as dist

    from grambench.config.kept import read_kept
    from grambench.domains.prepared import open_prepared
    from grambench.training.audit import differences_of_ranks
    from grambench.training.group import Group

    task = json.loads(store.get(_TASK))
    spec, folder = read_kept(task["spec"]), Path(task["folder"])
    torch.set_num_threads(max(1, (psutil.cpu_count(logical=False) or 1) // size))
    patience = timedelta(seconds=spec.hang_s)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=patience)
    found = differences_of_ranks(spec, open_prepared(folder), Group())
    if found is not None:
        store.set(_FOUND, json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
