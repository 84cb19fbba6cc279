"""Which part of its encoder a trial trained, and what that saved."""

from grambench.reports.section import Section, build_section


class Work(Section):
    """Factors by which the encoder's work is smaller than that of padded end-to-end training of all layers.

    The unit is a layer run forward on an item; a trained layer takes 3, one with low-rank updates 2. Above 1
    a factor saves work.
    """

    padding: float | None
    """Padded positions over real items, a ratio: engineering."""
    trained_layers: float | None
    """All layers trained over what is trained, frozen layers run in each step, a ratio: another model."""
    cached_layers: float | None
    """That over frozen layers computed once, a ratio: the cache's."""
    repeated_items: float | None
    """Items of batches over distinct items of each batch, a ratio: single-step GRAM's."""
    windows: float | None
    """Distinct items of each batch over those of windows, a ratio: multi-step GRAM's. Of `speedyfeed`, over
    those that its cache does not give."""
    recomputation: float | None
    """Forward passes that are run again, a ratio below 1: the price of chunks, checkpoints and windows."""
    product: float | None
    """All of them multiplied, a ratio."""


class Adaptation(Section):
    """Which part of the encoder was trained, and what computing the rest once has cost."""

    adapt: str | None
    """As `encoder.adapt` of the trial."""
    layers: int | None
    """Layers of the transformer, a count."""
    frozen_layers: int | None
    """Of these, first layers that are not trained, a count."""
    trainable_parameters: int | None
    """Trained parameters of the encoder, a count."""
    cache_bytes: int | None
    """States of the frozen part, of all items; a file of the run takes as much while it lasts."""
    cache_dtype: str | None
    """Their type, such as float16."""
    cache_on_device: bool | None
    """They lie on the device; else in the mapped file."""
    cache_s: float | None
    """Seconds that computing them took, whichever trial did; part of the training time."""
    cache_built: bool | None
    """This trial computed them; else an earlier one of the run."""
    train_s_without_cache: float | None
    """Training seconds less `cache_s`."""
    break_even_epochs: float | None
    """Epochs after which computing them once has cost less than in each step."""
    work: Work
    """What saves the encoder's work, factor by factor."""


def not_adapted() -> Adaptation:
    """Of a trial that says nothing of it, as in reports of earlier versions."""
    why = "the trial does not say which part of an encoder it trains"
    work = build_section(Work, None, otherwise=why)
    return build_section(Adaptation, None, otherwise=why, work=work)
