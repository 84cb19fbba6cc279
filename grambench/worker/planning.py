"""What is decided before a trial's clock starts, and the event that reports it."""

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from grambench.config.spec import Spec, Training
from grambench.config.strategies import StrategyRow, adapts, row_of, window_steps
from grambench.config.trial_name import TrialName
from grambench.config.trials import TrialEntry
from grambench.domains.training import TrainSampler
from grambench.errors import MachineError
from grambench.events import types as ev
from grambench.models.encoders.free import FreeItemEncoder, free_vectors
from grambench.models.encoders.packed import PackedRows
from grambench.models.encoders.side import SideEncoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.words import WordEncoder
from grambench.models.filters.lm_kt import LMKT
from grambench.training.group import Group
from grambench.training.memory_plan import GraphPlan, plan_graphs, plan_users
from grambench.training.phases import System, dry_run, encode, warm_up_encoder
from grambench.training.protocols import Batch, Strategy
from grambench.training.strategies.no_finetune import NoFinetune, TrainedPooling
from grambench.training.system import Modules, Placement

COMPILED_ITEMS = 64
"""Items in buckets encoded once to compile the encoder; the graph works for any number of items."""
FEW_WORDS = 0.05
"""Share of the items' words without a pretrained vector above which a warning is given."""
COMPILED_BATCHES = 16
"""Batches whose shapes in packed rows are compiled before the clock starts."""


def plan_sizes(spec: Training, system: System, batch: Batch, device: torch.device) -> GraphPlan:
    """How much of a batch is held in memory at once."""
    if isinstance(system.filter, LMKT):
        return plan_users(system, batch, spec, device, system.filter.limits())
    if isinstance(system.encode, FreeItemEncoder):
        return GraphPlan(spec.batch_size, None, "no encoder runs")
    return plan_graphs(system, batch, spec, device)


def least(plan: GraphPlan, group: Group) -> GraphPlan:
    """The smallest sizes that any rank has planned: all take the same steps."""
    unlimited = sys.maxsize
    micro, chunk = group.greatest(-plan.micro_batch, -(plan.encoder_chunk or unlimited))
    return dataclasses.replace(
        plan, micro_batch=-micro, encoder_chunk=None if chunk == -unlimited else -chunk
    )


def planned(
    spec: Spec,
    entry: TrialEntry,
    name: TrialName,
    sampler: TrainSampler,
    strategy: Strategy,
    plan: GraphPlan,
    system: System,
    modules: Modules,
    kept: Placement,
    graphs: str,
) -> ev.TrialPlanned:
    row = row_of(entry.strategy)
    sizes = {size: getattr(strategy, size, None) for size in row.plan}
    return ev.TrialPlanned(
        strategy=entry.strategy,
        seed=name.seed,
        steps_per_epoch=sampler.steps_per_epoch,
        max_steps=sampler.total_steps,
        batch_size=spec.training.batch_size,
        window_steps=strategy.window_steps,
        encoder_parameters=sum(p.numel() for p in modules.encoder.parameters()),
        filter_parameters=sum(p.numel() for p in modules.filter.parameters()),
        micro_batch=sizes.get("micro_batch"),
        encoder_chunk=sizes.get("encoder_chunk"),
        encoder_batch=sizes.get("encoder_batch"),
        encoder_revision=modules.encoder.revision,
        bucket_tokens=system.encode.bucket_tokens,
        tokens_on_device=kept.tokens,
        interactions_on_device=kept.interactions,
        layout=system.encode.layout.name,
        graphs=graphs,
        package=row.package,
        why="; ".join(
            filter(
                None,
                (
                    plan.why,
                    _row_updates(modules),
                    _kept_states(strategy),
                    _words_without(modules, system)[0],
                ),
            )
        ),
        label=name.label,
        settings=entry.settings,
        **_adaptation(spec, row, strategy, modules),
    )


def _adaptation(spec: Spec, row: StrategyRow, strategy: Strategy, modules: Modules) -> dict[str, Any]:
    """What of the encoder is trained."""
    encoder, is_constant = modules.encoder, isinstance(strategy, NoFinetune)
    trained = 0 if is_constant else sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    found: dict[str, Any] = {"trainable_parameters": trained}
    if isinstance(encoder, (TextEncoder, SideEncoder)):
        text = encoder if isinstance(encoder, TextEncoder) else encoder.text
        number = getattr(text.backbone.config, "num_hidden_layers", None)
        below = text.cut.below if text.cut is not None else number if is_constant or text.is_frozen else 0
        adapt = spec.encoder.adapt if adapts(row) else "none"
        found |= {"adapt": adapt, "layers": number, "frozen_layers": below or 0}
    return found


def _kept_states(strategy: Strategy) -> str:
    """The size of a frozen transformer's cache; empty where there is none."""
    if not isinstance(strategy, TrainedPooling):
        return ""
    gib = strategy.states.file_bytes / 2**30
    return f"the token states of the frozen transformer are kept ({gib:.1f} GiB)"


def _row_updates(modules: Modules) -> str:
    """How free item vectors are updated; empty where there are none."""
    free = free_vectors(modules.encoder)
    if free is None:
        return ""
    rows, width = free.rows_ID.shape
    which = "only the batch's rows" if free.touched_only else "all rows"
    return f"Adam updates {which} of the free vectors ({rows:,} x {width})"


def _words_without(modules: Modules, system: System) -> tuple[str, float]:
    """How many words have no pretrained vector, and their share of the items' words."""
    if not isinstance(modules.encoder, WordEncoder):
        return "", 0.0
    without_V = modules.encoder.without_vector_V
    share = float(without_V[system.encode.tokens.host_flat].mean())
    words = f"{np.count_nonzero(without_V):,} of {len(without_V):,} words have no pretrained vector"
    return f"{words} ({100 * share:.1f} % of the items' words)", share


def word_warnings(modules: Modules, system: System) -> Iterator[ev.Warned]:
    """Warn if the pretrained word vectors do not cover the data's words."""
    words, share = _words_without(modules, system)
    if share > FEW_WORDS:
        yield ev.Warned("words-without-vector", f"{words}: are the vectors for the language of the data?")


def use_graphs(spec: Spec, system: System, modules: Modules) -> str:
    """Run steps over fixed shapes where the specification asks for it; which ones, and why not others.

    On CUDA a captured step cannot redraw cuDNN's LSTM dropout, and the encoder's dropout would not draw
    what the plain step draws: such steps stay plain. Masks by counter are drawn from the view.
    """
    on_cuda = system.clock.device.type == "cuda"
    if spec.engine.graphs == "off" or (spec.engine.graphs == "auto" and not on_cuda):
        return "off"
    if system.group.size > 1:
        return "off, because the parts of several ranks differ in shape"
    filter_steps = not isinstance(modules.filter, LMKT) and not _draws(modules.filter)
    packed = isinstance(system.encode.layout, PackedRows)
    encoder_steps = packed and not _draws(modules.encoder)
    system.use_fixed_shapes(filter_steps, encoder_steps)
    filter_words = "on" if filter_steps else "plain, because the filter draws dropout"
    encoder_words = "on" if encoder_steps else "plain, because the encoder draws dropout"
    if not packed:
        encoder_words = "plain, because items lie in buckets"
    return f"filter steps {filter_words}; encoder steps at a window's end {encoder_words}"


def _draws(module: nn.Module) -> bool:
    """True where training draws from torch's generator in the module."""
    chances = (getattr(part, "p", 0.0) for part in module.modules() if isinstance(part, nn.Dropout))
    lstms = (part.dropout for part in module.modules() if type(part) is nn.LSTM)
    return any(chance > 0 for chance in (*chances, *lstms))


@dataclass(frozen=True, slots=True)
class Sample:
    """Items whose encoding compiles a graph."""

    items_N: NDArray[np.int64]
    with_graph: bool
    """Whether the encoder's gradients are needed."""


def to_compile(spec: Spec, name: str, sampler: TrainSampler, system: System) -> list[Sample]:
    """What the encoder has to compile for a strategy: a few items in buckets, every shape in packed rows.

    The shapes of packed rows are those of the first batches, of a window's opening and of its mini-batches;
    one that first occurs later is compiled within the training time.
    """
    layout, tokens = system.encode.layout, system.encode.tokens
    if not isinstance(layout, PackedRows):
        items_N = sampler.batch(0).unique().host_items_N[:COMPILED_ITEMS]
        return [Sample(items_N, with_graph) for with_graph in (True, False)]
    found: dict[tuple[int, bool], Sample] = {}
    for sample in _samples(spec, name, sampler):
        for call, inside_N in layout.calls(tokens, sample.items_N):
            found.setdefault(
                (call.shape[0], sample.with_graph), Sample(sample.items_N[inside_N], sample.with_graph)
            )
    return list(found.values())


def _samples(spec: Spec, name: str, sampler: TrainSampler) -> Iterator[Sample]:
    row = row_of(name)
    if row.family == "multi-step":
        window = window_steps(name, sampler.steps_per_epoch)
        items_N = sampler.items_ahead(0, max(window, spec.gram_auto.floor))
        yield Sample(items_N, False)
        yield Sample(items_N[: spec.multi_step.encoder_batch], True)
        yield Sample(items_N[: len(items_N) % spec.multi_step.encoder_batch], True)
        return
    for step in range(min(COMPILED_BATCHES, sampler.total_steps)):
        batch = sampler.batch(step)
        view = batch.occurrences() if row.encodes == "occurrences" else batch.unique()
        yield Sample(view.host_items_N, True)


def compile_seconds(system: System, samples: Sequence[Sample]) -> float:
    """Compile the encoder for these items; extra seconds of the first calls over later ones.

    Raises:
        MachineError: torch.compile does not work here.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second of imports

    def calls() -> float:
        began_ns = time.monotonic_ns()
        with dry_run(system):
            for sample in samples:
                if sample.with_graph:
                    warm_up_encoder(system, sample.items_N)
                    continue
                with torch.no_grad():
                    encode(system, sample.items_N)
        system.clock.read()  # waits for the device
        return (time.monotonic_ns() - began_ns) / 1e9

    try:
        return max(0.0, calls() - calls())
    except TorchDynamoException as error:
        raise MachineError(
            f"torch.compile failed: {str(error).strip().splitlines()[0]}.",
            "Install a C++ compiler (on a GPU also Triton), or use --set encoder.compile=off.",
        ) from error
