"""The ranks that trained a trial."""

from grambench.reports.section import Section, build_section


class Rank(Section):
    """One of the ranks since its process started."""

    rank: int
    """Its number, from 0."""
    host: str | None
    """Name of its machine."""
    device: str | None
    """`cpu`, `cuda:0` …"""
    waiting_share: float | None
    """Share of its training seconds in messages between ranks and waiting for them; 0 to 1."""
    peak_bytes: int | None
    """Peak memory that torch allocated on its GPU, in bytes."""


class RankPart(Section):
    """What one number of ranks has trained: rates of several numbers are never one number."""

    ranks: int
    """Ranks, a count; 1: one process."""
    from_step: int
    """CF steps done before."""
    to_step: int
    """CF steps at its end, as far as the trial kept them."""
    samples_per_s: float | None
    """Users trained on per training second, of a resumed trial from its first report on."""


class Ranks(Section):
    """The ranks of torch.distributed that train it together, since they were last started."""

    size: int
    """W, a count."""
    nodes: int | None
    """Machines, a count."""
    backend: str | None
    """What carries their messages: `nccl` or `gloo`."""
    batch_size: int | None
    """Users in a batch of all ranks, a count."""
    reuse_ratio_of_a_part: float | None
    """R of the users of one rank alone: appearances per distinct item in its part of a batch; sampled."""
    reuse_ratio: float | None
    """R of a whole batch: appearances per distinct item; over the same batches."""
    received_bytes_per_step: float | None
    """Bytes of messages that a rank receives for a CF step, the mean over ranks and steps."""
    waiting_share: float | None
    """Share of all ranks' training seconds in messages and waiting for one another; 0 to 1."""
    restarts: int
    """How often all ranks started again because one had died, a count."""
    efficiency: float | None
    """Samples/s over W times those of one process, a ratio."""
    ranks: list[Rank]
    """Each of them."""
    parts: list[RankPart]
    """What each number of ranks has trained, in order."""

    @property
    def several(self) -> bool:
        """Whether it was ever trained by more than one process."""
        return self.size > 1 or any(part.ranks > 1 for part in self.parts)


def one_process() -> Ranks:
    """Of a trial that one process trained, as all were in reports of earlier versions."""
    why = "one process trained it"
    return build_section(Ranks, None, otherwise=why, size=1, restarts=0, ranks=[], parts=[])
