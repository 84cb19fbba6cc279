"""What `grambench join` does on a machine that helps: an agent for every trial that the run starts.

It follows the supervisor's log in the shared folder. The ranks of its agents follow the leader's decisions.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from grambench.config.spec import Spec
from grambench.events import types as ev
from grambench.events.journal import Follower
from grambench.fs import open_owned, own_folder
from grambench.runner.agents import Agent, command, environment
from grambench.runner.rundir import SUPERVISOR_LOG
from grambench.runner.starts import worker_environment

_POLL_S = 0.2
_GRACE_S = 60.0
"""Seconds that an agent has to end after the supervisor's has."""


class Joined:
    """This machine's part in a run."""

    def __init__(self, run: Path, spec: Spec, tell: Callable[[str], None]) -> None:
        self.run, self.spec, self.tell = run, spec, tell
        self._log = Follower(run / SUPERVISOR_LOG)
        self._wanted: ev.RanksLaunched | None = None
        self._over, self._ended = False, ""

    def work(self) -> None:
        """Start the agents of this machine until the run has ended."""
        self._look()
        while not self._over:
            if (how := self._wanted) is not None:
                self._wanted = None
                self._help(how)
            time.sleep(_POLL_S)
            self._look()

    def _help(self, how: ev.RanksLaunched) -> None:
        """One agent, from start to end."""
        self.tell(f"{how.trial}: {how.nproc} ranks start here")
        with self._agent(how) as agent:
            deadline_s: float | None = None
            while (code := agent.wait(_POLL_S)) is None:
                self._look()
                if deadline_s is None and self._ended == how.trial:
                    deadline_s = time.monotonic() + _GRACE_S
                if deadline_s is not None and time.monotonic() > deadline_s:
                    agent.kill()
        self.tell(f"{how.trial}: the ranks here have ended{f' with {code}' if code else ''}")

    @contextlib.contextmanager
    def _agent(self, how: ev.RanksLaunched) -> Iterator[Agent]:
        folder = self.run / how.trial / "ranks"
        own_folder(folder)
        self._ended = ""
        with os.fdopen(open_owned(folder / f"{socket.gethostname()}.log"), "ab") as log:
            process = subprocess.Popen(
                command(self.run, self.spec.device, how),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment(worker_environment(self.spec), leads=False),
            )
        agent = Agent(process, self.run, how.trial)
        try:
            yield agent
        except BaseException:  # such as Ctrl+C: the ranks end the trial together, with a checkpoint
            process.send_signal(signal.SIGTERM)
            agent.wait(_GRACE_S)
            raise
        finally:
            agent.kill()

    def _look(self) -> None:
        """Read what the supervisor has done since the last look."""
        for record in self._log.read():
            match record.event:
                case ev.RanksLaunched() as how:
                    self._wanted, self._over = how, False
                case ev.WorkerExited(trial=trial):
                    self._ended = trial
                    if self._wanted is not None and self._wanted.trial == trial:
                        self._wanted = None
                case ev.RunStarted():
                    self._over = False
                case ev.RunFinished():
                    self._over = True
