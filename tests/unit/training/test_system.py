"""Systems built from a specification, and weights that go to disk and come back."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_systems import CPU, HEADS, QUERY, encoder_spec, tiny_data

from grambench.config.spec import Filter, Spec
from grambench.errors import ConfigError, DataError
from grambench.training.checkpoint import WEIGHTS, load_weights, save_weights
from grambench.training.system import Modules, build_system, residency

SPEC = Spec(encoder=encoder_spec(), filter=Filter(heads=HEADS, query=QUERY))


def modules(seed: int = 0) -> Modules:
    return build_system(SPEC, tiny_data(), CPU, seed=seed)[1]


def test_weights_follow_the_seed_and_nothing_else() -> None:
    first, other = modules(1).state(), modules(2).state()
    torch.rand(17)
    again = modules(1).state()
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
    written = save_weights(tmp_path / "best", source.state(), {"epoch": 1})
    assert written.bytes == (tmp_path / "best" / WEIGHTS).stat().st_size
    assert len(written.sha256) == 64
    target.load(load_weights(tmp_path / "best"))
    wanted = source.state()
    assert all(torch.equal(value, wanted[name]) for name, value in target.state().items())


def test_later_weights_replace_earlier_ones(tmp_path: Path) -> None:
    for seed in (1, 2):
        save_weights(tmp_path / "best", modules(seed).state(), {})
    wanted = modules(2).state()
    assert all(torch.equal(value, wanted[name]) for name, value in load_weights(tmp_path / "best").items())
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_flipped_bit_is_a_data_error(tmp_path: Path) -> None:
    save_weights(tmp_path / "best", modules().state(), {})
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
    spec = Spec(encoder={"model": str(tmp_path)}, filter=Filter(heads=5))
    with pytest.raises(ConfigError, match=r"filter\.heads = 5 does not divide the encoder's width 16"):
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
    found = residency(spec, data)
    assert (found.tokens, found.interactions) == (tokens, interactions)


def test_part_that_serves_twice_is_counted_once() -> None:
    data = tiny_data()
    twice = dataclasses.replace(data, parts={**data.parts, "test": data.parts["validation"]})
    needed = data.tokens.nbytes + data.token_offsets.nbytes
    needed += sum(data.parts[name].nbytes for name in ("train", "validation"))
    spec = SPEC.model_copy(update={"data": SPEC.data.model_copy(update={"device_gib": needed / GIB})})
    assert residency(spec, twice).interactions
    assert not residency(spec, data).interactions


def test_encoder_is_compiled_when_asked_and_keeps_the_names_of_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _module, **options: asked.append(options))
    for mode in ("off", "default", "reduce-overhead"):
        encoder = SPEC.encoder.model_copy(update={"compile": mode})
        built = build_system(SPEC.model_copy(update={"encoder": encoder}), tiny_data(), CPU, seed=0)[1]
        assert built.state().keys() == modules().state().keys()
    assert asked == [{"mode": None, "dynamic": True}, {"mode": "reduce-overhead", "dynamic": True}]
