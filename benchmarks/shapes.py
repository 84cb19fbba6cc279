"""The data and models that several benchmarks share, as `--set` overrides of the preset `demo`."""

MIND = (
    "data.dataset=mind-shaped",
    "data.synthetic.news=56980",
    "data.synthetic.users=50000",
    "data.synthetic.train_impressions=156965",
    "data.synthetic.dev_impressions=5000",
    "data.synthetic.history_mean=32",
    "data.synthetic.candidates_mean=37.9",
    "data.synthetic.topics=20",
    "data.fields.title=24",
    "filter.history=50",
    "training.batch_size=256",
)
"""MIND-small's sizes and laws; fewer dev impressions, which no step reads."""

TENTH = (
    *MIND,
    "data.synthetic.news=5698",
    "data.synthetic.users=5000",
    "data.synthetic.train_impressions=15697",
    "data.synthetic.dev_impressions=500",
)
"""A tenth of its items and of its impressions: about the same reuse ratio of an epoch."""

SMOKE = (
    "data.dataset=smoke",
    "data.synthetic.news=200",
    "data.synthetic.users=100",
    "data.synthetic.train_impressions=300",
    "data.synthetic.dev_impressions=60",
    "data.fields.title=24",
    "filter.history=50",
    "training.batch_size=64",
    "cpu_threads=1",
)
"""So small that a script takes seconds."""


def small_encoder(
    width: int = 128, layers: int = 2, heads: int = 2, vocabulary: int = 8000
) -> tuple[str, ...]:
    """A BERT of this shape from scratch, with a filter of the same width."""
    return (
        f"encoder.architecture.hidden_size={width}",
        f"encoder.architecture.layers={layers}",
        f"encoder.architecture.heads={heads}",
        f"encoder.architecture.intermediate_size={4 * width}",
        f"encoder.architecture.vocabulary={vocabulary}",
        "encoder.pooling_query=200",
        f"filter.nrms.heads={width // 16}",
        "filter.nrms.query=200",
        "multi_step.table_lr=0.1",
        "multi_step.encoder_batch=64",
    )
