"""Sizes of the sections of `benchmarks.measure`, and the data and the encoder that most of them train."""

from dataclasses import dataclass

from grambench.config.data import Data, SyntheticData
from grambench.config.networks import Architecture, Encoder
from grambench.config.spec import Engine, Spec, Training
from grambench.domains.news.synthetic import LIKE

EPOCHS = 10_000
"""So many that no probe comes to the end of training."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a smoke run shrinks."""

    news: SyntheticData
    encoder: Architecture
    small_encoder: Architecture
    """For float64."""
    batch: int = 256
    exact_users: int = 64
    chunk: int = 256
    """Items a chunk of exact recomputation."""
    steps: int = 4
    """Steps of a strategy in a round."""
    cf_steps: int = 100
    """CF steps in a round."""
    wait_steps: int = 30
    rounds: int = 3
    sampled_rounds: int = 6
    """Rounds with and without NVML's sampling."""
    sampled_s: float = 1.5
    """Seconds of such a slice."""
    matrix: int = 8192
    tokens: int = 65_536
    """Rows of the encoder's own matrix products."""
    attention_rows: tuple[int, ...] = (880, 901, 913, 927, 941)
    """Row counts of attention whose first call is timed; that of the first one is not."""
    items: int = 8192
    """Items encoded at once to measure the encoder alone."""
    encoder_batches: tuple[int, ...] = (64, 256, 1024)
    mini_batches: int = 40
    """Of a closing that is timed; a quarter of them at the largest size."""
    memory_batches: tuple[int, ...] = (8, 32)
    closing_steps: int = 200
    """Encoder steps after which the closing of an epoch's window is cut short where memory is measured."""


FULL = Sizes(
    LIKE["mind-small"].model_copy(update={"dev_impressions": 1000}),
    Architecture(hidden_size=768, layers=6, heads=12, intermediate_size=3072, vocabulary=30_000),
    Architecture(hidden_size=64, layers=2, heads=4, intermediate_size=256, vocabulary=30_000),
)
SMOKE = Sizes(
    SyntheticData(
        news=200, users=60, train_impressions=150, dev_impressions=40, topics=4,
        history_mean=8.0, candidates_mean=6.0,
    ),
    Architecture(hidden_size=32, layers=2, heads=2, intermediate_size=64, vocabulary=600),
    Architecture(hidden_size=16, layers=1, heads=2, intermediate_size=32, vocabulary=600),
    batch=16, exact_users=8, chunk=20, steps=2, cf_steps=2, wait_steps=3, rounds=1, sampled_rounds=1,
    sampled_s=0.1, matrix=64, tokens=64, attention_rows=(5, 6), items=64, encoder_batches=(8, 32),
    mini_batches=2, memory_batches=(8,), closing_steps=3,
)  # fmt: skip


def mind_spec(sizes: Sizes) -> Spec:
    """MIND-small's sizes and laws with an encoder from scratch; the paper's protocol cuts nothing off.

    In buckets and without graphs, unless a section says otherwise.
    """
    return Spec(
        name="gpu",
        data=Data(source="synthetic", dataset="mind-like", protocol="paper", synthetic=sizes.news),
        encoder=Encoder(architecture=sizes.encoder, layout="buckets"),
        engine=Engine(graphs="off"),
        training=Training(epochs=EPOCHS, batch_size=sizes.batch),
    )
