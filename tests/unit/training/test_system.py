"""Systems built from a specification, and weights that go to disk and come back."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_systems import CPU, HEADS, QUERY, encoder_spec, random_sequences, tiny_data

from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.domains.training import interaction_bytes, make_evaluator, make_sampler
from grambench.errors import ConfigError, DataError
from grambench.training.checkpoint import WEIGHTS, load_weights, save_weights
from grambench.training.system import Modules, build_system, placement

SPEC = Spec(encoder=encoder_spec(), filter=Filter(nrms={"heads": HEADS, "query": QUERY}))


def modules(seed: int = 0) -> Modules:
    return build_system(SPEC, tiny_data(), CPU, seed=seed)[1]


def test_weights_follow_the_seed_and_nothing_else() -> None:
    first, other = modules(1).state_dict(), modules(2).state_dict()
    torch.rand(17)
    again = modules(1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_optimisers_hold_every_parameter_of_their_module_once() -> None:
    system, built = build_system(SPEC, tiny_data(), CPU, seed=0)
    pairs = ((system.encoder_optimizer, built.encoder), (system.filter_optimizer, built.filter))
    for optimizer, module in pairs:
        assert [id(p) for p in optimizer.parameters] == [id(p) for p in module.parameters()]
    assert built.encoder.training
    assert built.filter.training


def test_state_goes_to_disk_and_back(tmp_path: Path) -> None:
    source, target = modules(1), modules(2)
    written = save_weights(tmp_path / "best", source.state_dict(), {"epoch": 1})
    assert written.bytes == (tmp_path / "best" / WEIGHTS).stat().st_size
    assert len(written.sha256) == 64
    target.load_state_dict(load_weights(tmp_path / "best"))
    wanted = source.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in target.state_dict().items())


def test_later_weights_replace_earlier_ones(tmp_path: Path) -> None:
    for seed in (1, 2):
        save_weights(tmp_path / "best", modules(seed).state_dict(), {})
    wanted = modules(2).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in load_weights(tmp_path / "best").items())
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_flipped_bit_is_a_data_error(tmp_path: Path) -> None:
    save_weights(tmp_path / "best", modules().state_dict(), {})
    file = tmp_path / "best" / WEIGHTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_weights(tmp_path / "best")


def test_missing_checkpoint_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(tmp_path / "best")


def test_heads_that_do_not_divide_a_pretrained_width_are_a_config_error(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    shape = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32, "num_hidden_layers": 1}
    BertModel(BertConfig(vocab_size=50, **shape)).save_pretrained(tmp_path)
    spec = Spec(encoder={"model": str(tmp_path)}, filter=Filter(nrms={"heads": 5}))
    with pytest.raises(ConfigError, match=r"filter\.nrms\.heads = 5 does not divide the encoder's width 16"):
        build_system(spec, tiny_data(), CPU, seed=0)


GIB = 2**30


@pytest.mark.parametrize(
    ("room", "tokens", "interactions"),
    [(10**9, True, True), (0, False, False), (None, True, False)],
)
def test_token_ids_stay_on_the_device_before_interactions(
    room: int | None, tokens: bool, interactions: bool
) -> None:
    data = tiny_data()
    if room is None:
        room = data.tokens.nbytes + data.token_offsets.nbytes
    spec = SPEC.model_copy(update={"data": SPEC.data.model_copy(update={"device_gib": room / GIB})})
    found = placement(spec, data)
    assert (found.tokens, found.interactions) == (tokens, interactions)


def with_room(size: int) -> Spec:
    """The specification with `data.device_gib` of so many bytes."""
    return SPEC.model_copy(update={"data": SPEC.data.model_copy(update={"device_gib": size / GIB})})


def test_part_that_serves_twice_is_counted_once() -> None:
    data = tiny_data()
    twice = dataclasses.replace(data, parts={**data.parts, "test": data.parts["validation"]})
    needed = data.tokens.nbytes + data.token_offsets.nbytes + interaction_bytes(twice)
    found = [
        placement(with_room(room), one)
        for room, one in ((needed, twice), (needed, data), (needed - 1, twice))
    ]
    assert [kept.interactions for kept in found] == [True, False, False]


def held_bytes(holder: object) -> int:
    """Bytes of the tensors that an object keeps."""
    return sum(value.nbytes for value in vars(holder).values() if isinstance(value, torch.Tensor))


def random_sequences_of(users: int) -> Prepared:
    parts = {name: random_sequences(i, users) for i, name in enumerate(("train", "validation", "test"))}
    return dataclasses.replace(tiny_data(domain="knowledge-tracing"), parts=parts)


@pytest.mark.parametrize(
    ("source", "data"),
    [("synthetic", tiny_data(impressions=3000)), ("synthetic-answers", random_sequences_of(3000))],
)
def test_what_is_kept_of_the_interactions_is_what_is_counted(source: str, data: Prepared) -> None:
    """Never less: clicks of an impression without a negative are counted, but are no samples."""
    spec = SPEC.model_copy(update={"data": SPEC.data.model_copy(update={"source": source})})
    sampler = make_sampler(spec, data, CPU, seed=0)
    sampler.batch(0)
    assert sampler._order is not None
    kept = held_bytes(sampler) + sampler._order[1].nbytes
    kept += sum(held_bytes(make_evaluator(spec, data, name, CPU)) for name in ("validation", "test"))
    assert kept <= interaction_bytes(data) <= 1.02 * kept


def test_encoder_is_compiled_when_asked_and_keeps_the_names_of_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _module, **options: asked.append(options))
    for mode in ("off", "default", "reduce-overhead"):
        encoder = SPEC.encoder.model_copy(update={"compile": mode})
        built = build_system(SPEC.model_copy(update={"encoder": encoder}), tiny_data(), CPU, seed=0)[1]
        assert built.state_dict().keys() == modules().state_dict().keys()
    assert asked == [{"mode": None, "dynamic": True}, {"mode": "reduce-overhead", "dynamic": True}]
