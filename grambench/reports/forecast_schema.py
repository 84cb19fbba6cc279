"""What was predicted of a trial before it trained, and what was measured."""

from grambench.reports.section import Section, build_section


class Scored(Section):
    """A number predicted before the trial trained, and what was measured then."""

    predicted: float | None
    """The prediction, in the unit of what it predicts."""
    measured: float | None
    """The same, measured."""
    ratio: float | None
    """Predicted over measured."""


class Forecast(Section):
    """What a probe before the clock started predicted for one process."""

    epoch_s: Scored
    """Training seconds of an epoch; measured: `times.epoch_s`."""
    peak_bytes: Scored
    """Peak memory; measured: torch's peak on a GPU, else the largest resident memory of the worker."""
    reuse_ratio: Scored
    """R of what the strategy encodes, a ratio; measured: `reuse_ratio`."""
    seconds: float | None
    """Seconds that the prediction took, which are not training time."""
    note: str
    """What the prediction leaves out; empty: nothing that is known."""

    @property
    def is_made(self) -> bool:
        """Whether anything was predicted."""
        return any(each.predicted is not None for each in (self.epoch_s, self.peak_bytes, self.reuse_ratio))


def no_forecast() -> Forecast:
    """Of a trial whose log has none, as in reports of earlier versions; it is left out of report.json."""
    why = "nothing was predicted"
    none = build_section(Scored, None, otherwise=why)
    return Forecast(
        epoch_s=none, peak_bytes=none, reuse_ratio=none, seconds=None, note="", reasons={"seconds": why}
    )
