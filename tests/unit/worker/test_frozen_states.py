"""The file of frozen states: computed once in a run, read by others, whole or computed again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from disks import fill, small_disk
from tiny_systems import CPU, HEADS, QUERY, encoder_spec, news_sampler, random_part, tiny_data

from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared
from grambench.errors import MachineError
from grambench.events import types as ev
from grambench.events.state import STATES
from grambench.fs import locked
from grambench.models.encoders.states import CachedItemEncoder
from grambench.training.checkpoint import Checkpoints
from grambench.training.phases import System
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, build_system
from grambench.worker import resume
from grambench.worker.frozen_states import open_states

ADAPTS: dict[str, dict[str, Any]] = {
    "freeze": {"adapt": "freeze"},
    "side": {"adapt": "side"},
    "none": {"adapt": "none"},
    "lora": {"adapt": "lora", "lora": {"rank": 2, "frozen_layers": 1}},
}


def spec_of(**encoder: Any) -> Spec:
    return Spec(encoder=encoder_spec(**encoder), filter=Filter(nrms={"heads": HEADS, "query": QUERY}))


def data() -> Prepared:
    found = tiny_data()
    found.manifest.fingerprint = "f"
    return found


class Opened:
    """A trial's system over the file of a run."""

    def __init__(self, run: Path, spec: Spec, seed: int = 0) -> None:
        self.events: list[ev.Event] = []
        self.system: System
        self.modules: Modules
        self.system, self.modules = build_system(spec, data(), CPU, seed=seed)
        self.seconds = open_states(self.system, spec, data(), run, self.events.append, lambda: None)
        sampler = self.sampler = news_sampler(random_part())
        options = {"spec": spec, "micro_batch": 4, "encoder_chunk": None, "seed": 5}
        self.strategy = make_strategy("gram-3s", self.system, sampler, **options)

    @property
    def cached(self) -> ev.StatesCached:
        (event,) = (event for event in self.events if isinstance(event, ev.StatesCached))
        return event

    def train(self, first: int, last: int) -> list[float]:
        return [float(self.strategy.step(self.sampler.batch(step)).loss) for step in range(first, last)]


@pytest.mark.parametrize("adapt", ADAPTS)
def test_the_second_trial_reads_what_the_first_has_computed(adapt: str, tmp_path: Path) -> None:
    spec = spec_of(**ADAPTS[adapt])
    first = Opened(tmp_path, spec)
    second = Opened(tmp_path, spec)
    assert (first.cached.built, second.cached.built) == (True, False)
    assert first.seconds == second.seconds == first.cached.seconds == second.cached.seconds > 0
    assert first.cached.dtype == "float16"
    assert first.cached.bytes == 2 * first.cached.rows * first.cached.features
    assert first.train(0, 4) == second.train(0, 4)
    other = Opened(tmp_path, spec, seed=1)  # other weights, as the encoder is drawn from the seed
    assert other.cached.built
    assert len(list((tmp_path / STATES).glob("*.bin"))) == 2


def test_a_resumed_trial_is_bit_equal_with_the_file_and_without(tmp_path: Path) -> None:
    spec = spec_of(**ADAPTS["freeze"])
    losses = Opened(tmp_path / "a", spec).train(0, 7)
    for run in ("a", "b"):  # b has to compute the states again
        before = Opened(tmp_path / "a", spec)
        before.train(0, 4)
        tensors, numbers = resume.collect(before.system, before.modules, before.strategy)
        checkpoints = Checkpoints(tmp_path / "checkpoints" / run)
        plan = {"micro_batch": 4, "encoder_chunk": None, "why": ""}
        identity = {"spec": spec.model_dump(mode="json")}
        checkpoints.save(4, tensors, {"strategy": numbers, "plan": plan, "loop": {}}, identity)
        after = Opened(tmp_path / run, spec)
        found, _ = resume.newest(checkpoints, identity)
        resume.restore(found, after.system, after.modules, after.strategy)
        assert after.train(4, 7) == losses[4:]


@pytest.mark.parametrize("damage", ["bytes", "size", "record"])
def test_a_damaged_file_is_computed_again(damage: str, tmp_path: Path) -> None:
    spec = spec_of(**ADAPTS["freeze"])
    wanted = Opened(tmp_path, spec).train(0, 2)
    (path,) = (tmp_path / STATES).glob("*.json" if damage == "record" else "*.bin")
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content if damage == "bytes" else content[:-3])
    again = Opened(tmp_path, spec)
    assert again.cached.built
    assert again.train(0, 2) == wanted


def test_what_ends_the_computation_leaves_no_file(tmp_path: Path) -> None:
    class EndedError(Exception):
        pass

    def end() -> None:
        raise EndedError

    spec = spec_of(**ADAPTS["freeze"])
    system, _ = build_system(spec, data(), CPU, seed=0)
    with pytest.raises(EndedError):
        open_states(system, spec, data(), tmp_path, lambda _: None, end)
    assert [path.suffix for path in (tmp_path / STATES).iterdir()] == [".lock"]


def test_trials_share_what_they_freeze_whatever_they_train_above(tmp_path: Path) -> None:
    Opened(tmp_path, spec_of(adapt="freeze", freeze={"layers": 1}))
    assert not Opened(tmp_path, spec_of(**ADAPTS["lora"])).cached.built
    assert not Opened(tmp_path, spec_of(adapt="freeze", pooling="mean")).cached.built
    spec = spec_of(**ADAPTS["side"])
    assert Opened(tmp_path, spec).cached.built
    system, modules = build_system(spec, data(), CPU, seed=0)
    with torch.no_grad():
        modules.encoder.text.pool.query.weight.add_(1)  # drawn from the seed, and not used
    events: list[ev.Event] = []
    open_states(system, spec, data(), tmp_path, events.append, lambda: None)
    assert isinstance(events[-1], ev.StatesCached)
    assert not events[-1].built


def test_waiting_for_another_trial_can_be_ended(tmp_path: Path) -> None:
    class EndedError(Exception):
        pass

    def end() -> None:
        raise EndedError

    spec = spec_of(**ADAPTS["freeze"])
    Opened(tmp_path, spec)
    (lock,) = (tmp_path / STATES).glob("*.lock")
    system, _ = build_system(spec, data(), CPU, seed=0)
    with locked(lock), pytest.raises(EndedError):
        open_states(system, spec, data(), tmp_path, lambda _: None, end)


def test_states_that_a_disk_cannot_take_end_in_a_sentence(tmp_path: Path) -> None:
    spec = spec_of(**ADAPTS["freeze"])
    system, _ = build_system(spec, data(), CPU, seed=0)
    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk / STATES).mkdir()
        fill(disk, room=4096)
        with pytest.raises(MachineError, match=r"cannot be written: No space left.*encoder\.cache=off"):
            open_states(system, spec, data(), disk, lambda _: None, lambda: None)
        assert [path.suffix for path in (disk / STATES).iterdir()] == [".lock"]


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(**ADAPTS["side"])
    system, _ = build_system(spec, data(), CPU, seed=0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    assert isinstance(system.encode, CachedItemEncoder)
    monkeypatch.setattr(system.encode.states, "write", full)
    with pytest.raises(MachineError, match=r"cannot be written: No space left.*encoder\.cache=off"):
        open_states(system, spec, data(), tmp_path, lambda _: None, lambda: None)


def test_a_large_state_is_kept_in_fp32_and_a_large_file_is_mapped(tmp_path: Path) -> None:
    spec = spec_of(**ADAPTS["freeze"], cache_gib=0.0)
    system, modules = build_system(spec, data(), CPU, seed=0)
    with torch.no_grad():
        modules.encoder.cut.layers[0].output.LayerNorm.bias.fill_(1e5)
    events: list[ev.Event] = []
    open_states(system, spec, data(), tmp_path, events.append, lambda: None)
    cached = events[-1]
    assert isinstance(cached, ev.StatesCached)
    assert (cached.dtype, cached.on_device) == ("float32", False)


def test_nothing_is_opened_for_a_whole_encoder(tmp_path: Path) -> None:
    for encoder in ({}, {"adapt": "lora"}, {"adapt": "freeze", "cache": "off"}):
        system, _ = build_system(spec_of(**encoder), data(), CPU, seed=0)
        assert open_states(system, spec_of(**encoder), SimpleNamespace(), tmp_path, print, print) == 0.0
    assert not list(tmp_path.iterdir())
