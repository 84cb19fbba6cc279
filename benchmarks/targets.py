"""What `benchmarks.measure` claims about a GPU, for the script and the page of results; loads no torch."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.harness import Claim


@dataclass(frozen=True, slots=True)
class Target:
    """A claim before it is measured."""

    text: str
    bound: float
    kind: Literal["at least", "at most"]
    unit: str = ""
    aim: str = ""
    """What is to be reached later; empty: the bound is all there is."""

    def claim(self, value: float, note: str = "") -> Claim:
        """The claim with what was measured."""
        aim = f"aim {self.aim}" if self.aim else ""
        return Claim(self.text, value, self.bound, self.kind, self.unit, "; ".join(filter(None, (aim, note))))


ENCODER = Target(
    "the encoder's share of the rate of a large matrix product, real tokens", 0.4, "at least", aim="0.5"
)
EPOCH = Target("an epoch of gram-1e at MIND-small's size", 5.0, "at most", " s", aim="2 s")
SINGLE_STEP = Target("gram-1s against e2e, samples/s, over R", 0.9, "at least")
SAMPLING = Target("throughput kept beside NVML sampling at 2 Hz, warmed loop", 0.99, "at least")
START = Target("start of a trial after the first, until its clock starts", 4.0, "at most", " s")
RUN = Target("trials of a whole run of three strategies that finished", 3.0, "at least")
TARGETS = (ENCODER, EPOCH, SINGLE_STEP, SAMPLING, START, RUN)
