"""Systems so small that float64 and plain-Python references are cheap: 2 layers, 16 wide, 40 items."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from grambench.config.networks import Architecture, Encoder
from grambench.config.optimizer import Optimizer
from grambench.domains.knowledge_tracing.batch import AnswerBatch
from grambench.domains.knowledge_tracing.sampler import AnswerSampler
from grambench.domains.knowledge_tracing.sequences import Sequences
from grambench.domains.news.batch import NewsBatch
from grambench.domains.news.impressions import Part
from grambench.domains.news.sampler import NewsSampler
from grambench.domains.prepared import Prepared
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.filters.base import AnswerView, RankingView
from grambench.models.filters.mean import MeanOfClicks
from grambench.models.filters.naml import NAML
from grambench.models.filters.nrms import NRMS
from grambench.models.filters.sakt import SAKT
from grambench.models.filters.sasrec import SASRec
from grambench.models.filters.tracer import LSTMTracer
from grambench.training.optim import ScheduledAdam, decaying
from grambench.training.phases import System
from grambench.training.timing import TrainClock

torch.set_num_threads(1)

CPU = torch.device("cpu")
DOMAINS = ("news", "answers")
WIDTH, HEADS, QUERY = 16, 4, 8
ITEMS, VOCABULARY = 40, 50
LR = 1e-3
KINDS = {"mean": "news", "naml": "news", "sasrec": "news", "sasrec in-batch": "news", "sakt": "answers"}
"""Filters of `tiny_system` besides each domain's first, and what they read."""
ADAM = Optimizer(lr=LR)
DRIVEN_AS_A_GPU = False
"""Systems made from now on encode in packed rows, and step over fixed shapes."""


def encoder_spec(**changes: object) -> Encoder:
    """The `encoder` table of a tiny BERT."""
    shape = Architecture(hidden_size=WIDTH, layers=2, heads=HEADS, intermediate_size=32)
    return Encoder(**{"architecture": shape, "pooling_query": QUERY, **changes})


def tiny_encoder(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: object) -> TextEncoder:
    """A tiny BERT with pooling, its weights drawn wide enough to make items differ."""
    torch.manual_seed(seed)
    encoder = load_encoder(encoder_spec(**changes), VOCABULARY, autocast=False).to(dtype)
    widen(encoder)
    return encoder


def widen(module: nn.Module) -> None:
    """Draw every weight anew with a standard deviation of .2, biases included."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "LayerNorm" not in name:
                parameter.normal_(std=0.2)


def ragged_tokens(seed: int = 0, items: int = ITEMS, longest: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Random token ids of a catalogue and their offsets; lengths from 2."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, longest + 1, items)
    tokens = rng.integers(4, VOCABULARY, lengths.sum()).astype(np.int32)
    return tokens, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def item_tokens(seed: int = 0, items: int = ITEMS, longest: int = 20) -> ItemTokens:
    return ItemTokens(*ragged_tokens(seed, items, longest), CPU)


def make_part(histories: list[list[int]], candidates: list[list[int]], labels: list[list[int]]) -> Part:
    """A part of the given impressions."""

    def offsets(rows: list[list[int]]) -> np.ndarray:
        return np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)

    def flat(rows: list[list[int]], kind: type) -> np.ndarray:
        return np.array([value for row in rows for value in row], kind)

    count = len(histories)
    return Part(
        history_items=flat(histories, np.int32),
        history_offsets=offsets(histories),
        candidate_items=flat(candidates, np.int32),
        candidate_labels=flat(labels, np.int8),
        candidate_offsets=offsets(candidates),
        users=np.arange(count, dtype=np.int32),
        time_s=np.zeros(count, np.int64),
    )


def random_part(seed: int = 0, impressions: int = 24, items: int = ITEMS) -> Part:
    """Impressions with both classes mostly; some histories empty, some impressions of one class."""
    rng = np.random.default_rng(seed)
    histories, candidates, labels = [], [], []
    for row in range(impressions):
        clicks = 0 if row % 7 == 3 else int(rng.integers(1, 9))
        histories.append(rng.integers(0, items, clicks).tolist())
        shown = rng.choice(items, int(rng.integers(2, 9)), replace=False).tolist()
        clicked = (rng.random(len(shown)) < 0.3).astype(int)
        if row % 8 != 5:
            clicked[0], clicked[1] = 1, 0
        order = rng.permutation(len(shown))
        candidates.append([shown[i] for i in order])
        labels.append([int(clicked[i]) for i in order])
    return make_part(histories, candidates, labels)


def news_sampler(part: Part, **changes: object) -> NewsSampler:
    options = {
        "seed": 3,
        "batch_size": 6,
        "negatives": 3,
        "history": 5,
        "epochs": 2,
        "max_steps": None,
        "device": CPU,
    }
    return NewsSampler(part, **{**options, **changes})


def random_sequences(seed: int = 0, users: int = 24, items: int = ITEMS) -> Sequences:
    """Students with 1 to 11 answers, a few of them unscored at the start."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, users)
    count = int(sizes.sum())
    scored = [np.arange(size) >= min(size - 1, int(rng.integers(0, 3))) for size in sizes]
    return Sequences(
        items=rng.integers(0, items, count).astype(np.int32),
        correct=rng.integers(0, 2, count).astype(np.int8),
        scored=np.concatenate(scored).astype(np.int8),
        offsets=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        users=np.arange(users, dtype=np.int32),
    )


def answer_sampler(part: Sequences, **changes: object) -> AnswerSampler:
    options = {"seed": 3, "batch_size": 6, "length": 7, "epochs": 2, "max_steps": None, "device": CPU}
    return AnswerSampler(part, **{**options, **changes})


def sampler_of(domain: str, seed: int = 0, **changes: object) -> NewsSampler | AnswerSampler:
    """Batches of random data of a domain."""
    if domain == "news":
        return news_sampler(random_part(seed), **changes)
    return answer_sampler(random_sequences(seed), **changes)


@dataclass
class Encoding:
    """One call of the encoder."""

    ids: list[int]
    with_graph: bool


class SpyEncoder(ItemEncoder):
    """Remembers what was encoded, and whether a graph was kept."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.seen: list[Encoding] = []

    def count(self, items_N: np.ndarray, calls: int) -> None:
        super().count(items_N, calls)
        self.seen.append(Encoding(items_N.tolist(), torch.is_grad_enabled()))

    def times(self, with_graph: bool) -> dict[int, int]:
        """How often each item was encoded with, or without, a graph."""
        ids = [i for call in self.seen if call.with_graph == with_graph for i in call.ids]
        return {i: ids.count(i) for i in set(ids)}


@dataclass
class Tiny:
    """A system and its modules."""

    system: System
    encoder: TextEncoder
    filter: NRMS | LSTMTracer | NAML | MeanOfClicks | SASRec | SAKT
    spy: SpyEncoder = field(repr=False)

    def parameters(self) -> dict[str, Tensor]:
        named = [
            *self.encoder.named_parameters(prefix="encoder"),
            *self.filter.named_parameters(prefix="filter"),
        ]
        return {name: parameter.detach().clone() for name, parameter in named}

    def take_gradients(self) -> dict[str, Tensor]:
        """Gradients by name; they are dropped."""
        taken = {}
        for prefix, module in (("encoder", self.encoder), ("filter", self.filter)):
            for name, parameter in module.named_parameters(prefix=prefix):
                taken[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = None
        return taken


def tiny_system(
    seed: int = 0,
    *,
    domain: str = "news",
    kind: str = "",
    dtype: torch.dtype = torch.float64,
    items: int = ITEMS,
    longest: int = 20,
    bucket_tokens: int = 128,
    lstm_dropout: float = 0.0,
    masks: str = "counter",
    rates: Optimizer = ADAM,
    checkpointed: bool = False,
    **encoder_changes: object,
) -> Tiny:
    """A system on the CPU whose weights follow the seed; `kind`: another filter than the domain's first."""
    encoder = tiny_encoder(seed, dtype, **encoder_changes)
    if checkpointed:
        encoder.checkpoint_layers()
    kinds = {
        "news": lambda: NRMS(WIDTH, HEADS, QUERY),
        "mean": lambda: MeanOfClicks(WIDTH),
        "naml": lambda: NAML(WIDTH, QUERY),
        "sasrec": lambda: SASRec(WIDTH, 2, HEADS, history=5),
        "sasrec in-batch": lambda: SASRec(WIDTH, 2, HEADS, history=5, negatives="in-batch"),
        "sakt": lambda: SAKT(WIDTH, 2, HEADS, length=11),
        "answers": lambda: LSTMTracer(WIDTH, layers=2, dropout=lstm_dropout, length=11, masks=masks),
    }
    user_model = kinds[kind or domain]().to(dtype)
    widen(user_model)
    tokens = item_tokens(seed, items, longest)
    layout = PackedRows(int(tokens.lengths.max()), bucket_tokens) if DRIVEN_AS_A_GPU else None
    spy = SpyEncoder(encoder, tokens, bucket_tokens, layout)
    system = System(
        spy,
        user_model,
        ScheduledAdam(encoder.parameters(), rates, decayed=decaying(encoder)),
        ScheduledAdam(user_model.parameters(), rates, decayed=decaying(user_model)),
        TrainClock(CPU),
    )
    if DRIVEN_AS_A_GPU:
        system.use_fixed_shapes()
    encoder.train()
    user_model.train()
    return Tiny(system, encoder, user_model, spy)


def tiny_data(seed: int = 0, impressions: int = 24, domain: str = "news") -> Prepared:
    """Prepared arrays in memory, as far as training reads them."""
    tokens, offsets = ragged_tokens(seed)
    manifest = SimpleNamespace(domain=domain, tokenizer=SimpleNamespace(vocabulary_size=VOCABULARY))
    names = ("train", "validation", "test")
    parts = {name: random_part(seed + i, impressions) for i, name in enumerate(names)}
    return Prepared(None, manifest, tokens, offsets, parts)


def over_table(batch: NewsBatch | AnswerBatch) -> RankingView | AnswerView:
    """A view in which the ids of the catalogue index a table of all items."""
    if isinstance(batch, AnswerBatch):
        return AnswerView(np.arange(ITEMS), batch.asked_BL, batch.mask_BL, batch.correct_BL)
    return RankingView(batch.history_BH, batch.mask_BH, batch.candidates_BC, clicks_B=batch.clicks_B)


def vectors_of(encoder: TextEncoder, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
    """Item vectors of token ids."""
    return encoder(encoder.lookup(ids_NL), mask_NL)


def encode_one_by_one(encoder: TextEncoder, tokens: ItemTokens, items: list[int]) -> Tensor:
    """Vectors of items without buckets and without padding."""
    rows = []
    for item in items:
        ids = tokens.flat[tokens.offsets[item] : tokens.offsets[item + 1]].long()[None]
        rows.append(vectors_of(encoder, ids, torch.ones_like(ids, dtype=torch.bool)))
    return torch.cat(rows)


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    """Every tensor equal to `tolerance`, on the scale of the largest one of its module."""
    assert found.keys() == wanted.keys()
    for prefix in ("encoder.", "filter."):
        names = [name for name in wanted if name.startswith(prefix)]
        scale = max(float(wanted[name].abs().max()) for name in names)
        assert scale > 1e-4, f"{prefix} is too small to compare"
        for name in names:
            difference = float((found[name] - wanted[name]).abs().max())
            assert difference <= tolerance * max(scale, 1.0), f"{name} differs by {difference}"
