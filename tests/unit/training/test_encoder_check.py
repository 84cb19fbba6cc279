"""The check before a run: yes to encoders that are right, no to each way of being wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_models import CAUSAL, ENCODERS, ESM, encoder_of, saved_model
from tiny_systems import CPU, QUERY, encoder_spec, tiny_data

from grambench.config.networks import Encoder, Filter
from grambench.config.spec import Spec
from grambench.errors import ConfigError
from grambench.events.types import AuditFinished, EncoderChecked, Event
from grambench.models.encoders.base import Packing
from grambench.training.audit import audit
from grambench.training.encoder_check import check_encoder, compared_items, require_equal
from grambench.training.phases import System
from grambench.training.system import build_system


def system_of(encoder: Encoder, strategy: str = "e2e") -> System:
    """A system of tiny data."""
    transformers.utils.logging.disable_progress_bar()
    spec = Spec(encoder=encoder, filter=Filter(nrms={"heads": 4, "query": QUERY}))
    return build_system(spec, tiny_data(), CPU, seed=0, strategy=strategy)[0]


@pytest.mark.parametrize("pooling", ["mean", "attention", "cls", "last"])
@pytest.mark.parametrize("layout", ["buckets", "packed"])
def test_a_right_encoder_passes_in_either_layout(layout: str, pooling: str) -> None:
    system = system_of(encoder_spec(layout=layout, pooling=pooling, dropout=0.3))
    found = check_encoder(system)
    assert found is not None
    assert found.equal
    assert found.relative < 1e-5
    assert (found.items, found.layout) == (4, layout)
    assert system.encode.encoder.training
    assert system.encode.encoder.backbone.config._attn_implementation == "sdpa"
    require_equal(found, "this one")


def test_a_causal_model_under_a_mask_of_padding_alone_is_refused(tmp_path: Path) -> None:
    system = system_of(encoder_of(saved_model(CAUSAL["gpt2"], tmp_path)))
    assert check_encoder(system).equal
    system.encode.encoder.ready_mask = True
    found = check_encoder(system)
    assert found.relative > 0.01
    with pytest.raises(ConfigError, match=r"The encoder that/gpt2 computes wrong .*Choose another encoder"):
        require_equal(found, "that/gpt2")


def test_positions_that_begin_elsewhere_are_refused_in_packed_rows_only(tmp_path: Path) -> None:
    system = system_of(encoder_of(saved_model(ENCODERS["data2vec-text"], tmp_path), layout="packed"))
    assert check_encoder(system).equal
    system.encode.encoder.packing = Packing(first_position=0)
    found = check_encoder(system)
    assert found.relative > 0.01
    with pytest.raises(ConfigError, match=r"layout packed.*Use --set encoder\.layout=buckets"):
        require_equal(found, "that/model")


def test_padding_that_is_read_is_refused(tmp_path: Path) -> None:
    system = system_of(encoder_of(saved_model(ENCODERS["mobilebert"], tmp_path)))
    assert check_encoder(system).equal
    system.encode.encoder.blank_padding = False
    assert check_encoder(system).relative > 0.01


def test_a_vector_that_is_not_finite_is_refused() -> None:
    system = system_of(encoder_spec())
    with torch.no_grad():
        system.encode.encoder.backbone.encoder.layer[0].output.dense.bias.fill_(torch.nan)
    with pytest.raises(ConfigError, match="those of 4 items are not finite"):
        require_equal(check_encoder(system), "this one")


def test_a_family_that_cannot_be_read_by_word_embeddings_ends_the_setup(tmp_path: Path) -> None:
    spec = Spec(
        encoder=encoder_of(saved_model(ESM, tmp_path)), filter=Filter(nrms={"heads": 4, "query": QUERY})
    )
    events: list[Event] = []
    with pytest.raises(ConfigError, match=f"The encoder {tmp_path} computes wrong item vectors"):
        audit(spec, tiny_data(), CPU, events.append)
    (checked,) = events
    assert isinstance(checked, EncoderChecked)
    assert not checked.equal


def test_the_audit_says_what_was_checked_first() -> None:
    events: list[Event] = []
    spec = Spec(encoder=encoder_spec(layout="packed"), filter=Filter(nrms={"heads": 4, "query": QUERY}))
    found = audit(spec, tiny_data(), CPU, events.append)
    assert isinstance(found, AuditFinished)
    assert found.equivalent
    assert [event.equal for event in events if isinstance(event, EncoderChecked)] == [True]


def test_crcf_is_asked_for_its_content_encoder_and_free_vectors_for_nothing() -> None:
    assert check_encoder(system_of(encoder_spec(), "crcf-1s")).equal
    assert check_encoder(system_of(encoder_spec(), "nocontent")) is None


@pytest.mark.parametrize(
    ("lengths", "wanted"),
    [
        ([9, 2, 500, 30, 12, 4, 21], [2, 9, 12, 30]),
        ([400, 100, 300, 200, 500], [100, 200, 300, 400]),
        ([7], [7]),
        ([5, 5, 5], [5, 5, 5]),
    ],
)
def test_items_of_different_lengths_are_compared_and_no_longer_ones_than_needed(
    lengths: list[int], wanted: list[int]
) -> None:
    lengths_I = np.array(lengths)
    assert lengths_I[compared_items(lengths_I)].tolist() == wanted


def test_tokens_of_another_model_are_refused_before_they_are_looked_up(tmp_path: Path) -> None:
    folder = saved_model(("bert", ENCODERS["bert"][1] | {"vocab_size": 30}), tmp_path)
    for strategy in ("e2e", "crcf-1s"):
        with pytest.raises(ConfigError, match=r"tokens go up to id 49, but .* embeddings for only 30 tokens"):
            system_of(encoder_of(folder), strategy)
    assert system_of(encoder_of(folder), "nocontent").encode.encoder.vocabulary is None
