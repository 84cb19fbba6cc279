"""How many processes train a trial together, and where they meet."""

import re
from typing import Annotated

from pydantic import Field, model_validator

from grambench.config.table import Table

_ENDPOINT = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}")


class Ranks(Table):
    """`[ranks]`: processes of torch.distributed, started by torchrun; the update is that of one process."""

    nproc: Annotated[int, Field(ge=1, le=1024)] = 1
    """Ranks on each node: on CUDA one per GPU."""
    nnodes: Annotated[int, Field(ge=1, le=4096)] = 1
    """Machines, which share the folder of the run. On each but the first: `grambench join RUN`."""
    endpoint: str = ""
    """HOST:PORT of the first node, at which the nodes meet; only for several nodes."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 3
    """Times that a trial's ranks start again from the newest checkpoint after one of them has died."""

    @model_validator(mode="after")
    def _has_a_meeting_point(self) -> "Ranks":
        if self.nnodes > 1 and not _ENDPOINT.fullmatch(self.endpoint):
            found = f", not {self.endpoint!r}" if self.endpoint else ""
            raise ValueError(f"{self.nnodes} nodes need an endpoint, HOST:PORT of the first one{found}")
        return self

    @property
    def size(self) -> int:
        """W, the ranks of a trial."""
        return self.nproc * self.nnodes
