"""A trial that goes on from a checkpoint, in mid-window too, is bit-equal to one that never stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_systems import DOMAINS, Tiny, encoder_spec, sampler_of, tiny_data, tiny_system

from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.errors import ConfigError
from grambench.models.encoders.free import PulledVectors
from grambench.training.checkpoint import NUMBERS, WEIGHTS, Checkpoints
from grambench.training.protocols import Strategy
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, build_system
from grambench.worker import resume

CPU = torch.device("cpu")
SPEC = Spec(encoder=encoder_spec(), filter=Filter(nrms={"heads": 4, "query": 8}))
PLAN = {"micro_batch": 4, "encoder_chunk": None, "why": ""}
IDENTITY = {"spec": SPEC.model_dump(mode="json"), "data_fingerprint": "f", "device": "cpu", "torch": "t"}
BEFORE = "gram-auto of 0.1"
GRAM = ("e2e", "e2e-unique", "gram-1s", "gram-3s", "gram-1e", "gram-2e", "gram-auto", BEFORE, "nofinetune")


class World:
    """A strategy with its system, built anew each time."""

    def __init__(self, name: str, domain: str, free_rows: str = "auto", **dropout: Any) -> None:
        self.sampler = sampler_of(domain)
        if name.startswith(("crcf", "nocontent", "nofinetune")) and domain == "news":
            training = SPEC.training.model_copy(update={"free_rows": free_rows})
            spec = SPEC.model_copy(update={"training": training})
            self.system, self.modules = build_system(spec, tiny_data(), CPU, seed=0, strategy=name)
        else:
            tiny: Tiny = tiny_system(domain=domain, dtype=torch.float32, **dropout)
            self.system, self.modules = tiny.system, Modules(tiny.encoder, tiny.filter)
        rule, auto = {"encoder_batch": 7}, {"floor": 2, "drift": 0.3}
        if name == BEFORE:
            name, rule["table_optimizer"], auto["measure"] = "gram-auto", "adagrad", "norm"
        options = {
            "spec": Spec(multi_step=rule, gram_auto=auto),
            "micro_batch": 4,
            "encoder_chunk": None,
            "seed": 5,
        }
        self.strategy: Strategy = make_strategy(name, self.system, self.sampler, **options)

    def train(self, first: int, last: int) -> list[float]:
        return [float(self.strategy.step(self.sampler.batch(step)).loss) for step in range(first, last)]

    def save(self, folder: Path, step: int) -> Checkpoints:
        checkpoints = Checkpoints(folder)
        tensors, numbers = resume.collect(self.system, self.modules, self.strategy)
        checkpoints.save(step, tensors, {"strategy": numbers, "plan": PLAN, "loop": {}}, IDENTITY)
        return checkpoints

    def go_on(self, checkpoints: Checkpoints) -> None:
        found, complaints = resume.newest(checkpoints, IDENTITY)
        assert complaints == []
        resume.restore(found, self.system, self.modules, self.strategy)


def cases() -> list[tuple[str, str, str]]:
    both = [(name, domain, "auto") for name in GRAM for domain in DOMAINS]
    free = [
        (name, "news", rule) for name in ("nocontent", "crcf-1s", "crcf-1e") for rule in ("auto", "touched")
    ]
    return [*both, ("speedyfeed", "news", "auto"), *free]


@pytest.mark.parametrize(("name", "domain", "free_rows"), cases())
def test_every_strategy_goes_on_bit_equal_from_every_step(
    name: str, domain: str, free_rows: str, tmp_path: Path
) -> None:
    total = 8
    whole = World(name, domain, free_rows=free_rows)
    losses = whole.train(0, total)
    wanted = whole.modules.state_dict()
    for step in (1, 2, 4, 5, 7):
        first = World(name, domain, free_rows=free_rows)
        first.train(0, step)
        checkpoints = first.save(tmp_path / str(step), step)
        torch.manual_seed(99)
        second = World(name, domain, free_rows=free_rows)
        second.strategy.warm_up(second.sampler.batch(0))
        second.go_on(checkpoints)
        assert second.train(step, total) == losses[step:]
        for key, value in second.modules.state_dict().items():
            assert torch.equal(value, wanted[key]), (step, key)


@pytest.mark.parametrize(
    ("name", "domain", "dropout"),
    [
        ("gram-1s", "news", {"dropout": 0.2}),
        ("gram-1s", "answers", {"lstm_dropout": 0.2, "masks": "torch"}),
        ("gram-3s", "answers", {"lstm_dropout": 0.2}),
    ],
)
def test_dropout_draws_what_it_would_have_drawn(
    name: str, domain: str, dropout: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    whole = World(name, domain, **dropout)
    torch.manual_seed(7)
    losses = whole.train(0, 6)
    first = World(name, domain, **dropout)
    torch.manual_seed(7)
    first.train(0, 3)
    checkpoints = first.save(tmp_path, 3)
    second = World(name, domain, **dropout)
    second.go_on(checkpoints)
    assert second.train(3, 6) == losses[3:]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    world = World("gram-1s", "news")
    for step in (1, 2, 3):
        checkpoints = world.save(tmp_path, step)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-0000000002", "step-0000000003"]
    weights = tmp_path / "step-0000000003" / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    place, complaints = checkpoints.newest()
    assert place.name == "step-0000000002"
    assert complaints == [f"The checkpoint {weights.parent} is damaged: the SHA-256 of {WEIGHTS} differs."]
    numbers = tmp_path / "step-0000000002" / NUMBERS
    numbers.write_bytes(numbers.read_bytes()[:-20])
    place, complaints = checkpoints.newest()
    assert place is None
    assert len(complaints) == 2


def test_a_damaged_manifest_is_not_taken_for_a_change_of_settings(tmp_path: Path) -> None:
    world = World("gram-1s", "news")
    for step in (1, 2):
        checkpoints = world.save(tmp_path, step)
    manifest = tmp_path / "step-0000000002" / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"batch_size": 256', '"batch_size": 257'))
    assert manifest.read_text() != text
    resumed, complaints = resume.newest(checkpoints, IDENTITY)
    assert resumed is not None
    assert resumed.numbers == json.loads((tmp_path / "step-0000000001" / NUMBERS).read_text())
    assert complaints == [
        f"The checkpoint {manifest.parent} is damaged: the SHA-256 of manifest.json differs."
    ]


def test_a_manifest_of_an_earlier_version_has_no_digest_of_its_own(tmp_path: Path) -> None:
    checkpoints = World("gram-1s", "news").save(tmp_path, 1)
    manifest = tmp_path / "step-0000000001" / "manifest.json"
    facts = json.loads(manifest.read_text())
    del facts["manifest_sha256"]
    manifest.write_text(json.dumps(facts))
    resumed, complaints = resume.newest(checkpoints, IDENTITY)
    assert (resumed is not None, complaints) == (True, [])


def test_what_has_changed_is_listed(tmp_path: Path) -> None:
    checkpoints = World("gram-1s", "news").save(tmp_path, 1)
    spec = SPEC.model_copy(update={"training": SPEC.training.model_copy(update={"batch_size": 7})})
    now = {**IDENTITY, "spec": spec.model_dump(mode="json"), "data_fingerprint": "g"}
    with pytest.raises(ConfigError) as caught:
        resume.newest(checkpoints, now)
    assert 'spec.training.batch_size: 256, now 7; data_fingerprint: "f", now "g"' in str(caught.value)


def test_none_is_none(tmp_path: Path) -> None:
    assert resume.newest(Checkpoints(tmp_path / "nowhere"), IDENTITY) == (None, [])


def test_a_full_disk_leaves_the_older_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("gram-1s", "news")
    checkpoints = world.save(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grambench.training.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        world.save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001"]
    assert checkpoints.newest()[0] is not None


def test_pulled_vectors_keep_what_was_met(tmp_path: Path) -> None:
    first = World("crcf-1s", "news")
    first.train(0, 2)
    second = World("crcf-1s", "news")
    second.go_on(first.save(tmp_path, 2))
    before, after = first.modules.encoder, second.modules.encoder
    assert isinstance(before, PulledVectors)
    assert before.met_I.any()
    assert torch.equal(before.met_I, after.met_I)
