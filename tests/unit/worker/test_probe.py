"""The probe: what it tries, what it drops, and that one choice holds for a whole run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_systems
import torch
from tiny_systems import CPU, encoder_spec, tiny_data

from grambench.config.networks import Encoder, Filter
from grambench.config.spec import Engine, Spec
from grambench.errors import ConfigError
from grambench.events import types as ev
from grambench.events.folding.sentences import SENTENCES
from grambench.metrics.catalogue import metric
from grambench.models.encoders.packed import PackedRows
from grambench.training.system import build_system
from grambench.worker import probe
from grambench.worker.device import Device, resolve_device

HERE = Device(CPU, "a CPU", None, False, 1)


def spec(layout: str = "buckets", **engine: object) -> Spec:
    return Spec(
        encoder=encoder_spec(layout=layout),
        filter=Filter(nrms={"heads": 4, "query": 8}),
        engine=Engine(**engine),
    )


def choose(given: Spec, before: ev.EngineChosen | None = None) -> tuple[ev.EngineChosen, list[ev.Event]]:
    events: list[ev.Event] = []
    return probe.choose(given, tiny_data(), HERE, events.append, before), events


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU has the choice that a GPU has."""
    monkeypatch.setattr(probe, "LAYOUTS", {"cpu": probe.LAYOUTS["cuda"]})


@pytest.fixture
def seconds(as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds that each layout takes, in place of measured ones."""
    known = {"buckets": 2.0, "packed": 1.0}
    monkeypatch.setattr(probe._Probe, "seconds", lambda self: known[self.system.encode.layout.name])
    return known


def test_nothing_is_measured_where_everything_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_probe", lambda *_: pytest.fail("a probe was made"))
    chosen, events = choose(spec("auto"))  # a CPU has no choice of layouts
    assert chosen.choice == {"encoder.layout": "buckets", "encoder.bucket_tokens": 3072, "cpu_threads": 1}
    assert chosen.candidates == []
    assert events == [chosen]


def test_a_models_own_pooling_is_chosen_once_for_the_whole_run(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text('[{"path": "1_Pooling", "type": "sentence_transformers.Pooling"}]')
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "lasttoken"}')
    table = {"model": str(tmp_path), "pooling": "own-or-mean", "layout": "buckets"}
    given = spec("auto").model_copy(update={"encoder": Encoder(**table)})
    chosen, _ = choose(given)
    assert chosen.choice["encoder.pooling"] == "last"
    (tmp_path / "modules.json").unlink()
    assert probe.settled(given, chosen).encoder.pooling == "last"
    assert SENTENCES[ev.EngineChosen](chosen, None, metric("auc")) == ("info", "encoder.pooling = last")


def test_the_faster_layout_is_taken_and_the_other_is_written_down(seconds: dict[str, float]) -> None:
    chosen, _ = choose(spec("auto"))
    assert chosen.choice["encoder.layout"] == "packed"
    assert [(tried["value"], tried["seconds"]) for tried in chosen.candidates] == [
        ("buckets", 2.0),
        ("packed", 1.0),
    ]
    seconds["packed"] = 3.0
    assert choose(spec("auto"))[0].choice["encoder.layout"] == "buckets"


def test_real_seconds_are_measured(as_on_a_gpu: None) -> None:
    chosen, _ = choose(spec("auto"))
    assert all(tried["seconds"] > 0 for tried in chosen.candidates)
    fastest = min(chosen.candidates, key=lambda tried: tried["seconds"])
    assert chosen.choice["encoder.layout"] == fastest["value"]


@pytest.mark.parametrize("kind", ["fails", "differs"])
def test_a_candidate_that_fails_or_gives_other_vectors_is_dropped_with_a_warning(
    kind: str, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: Callable[..., tuple[torch.Tensor, int]] = PackedRows.vectors

    def broken(self, *arguments):  # type: ignore[no-untyped-def]
        if kind == "fails":
            raise torch.OutOfMemoryError("CUDA out of memory\nand more")
        vectors_ND, calls = honest(self, *arguments)
        return vectors_ND * 1.01, calls

    monkeypatch.setattr(PackedRows, "vectors", broken)
    chosen, events = choose(spec("auto"))
    assert chosen.choice["encoder.layout"] == "buckets"
    words = {"fails": "it failed: CUDA out of memory", "differs": "it gives different vectors"}[kind]
    assert chosen.candidates[1]["seconds"] is None
    assert chosen.candidates[1]["why"].startswith(words)
    (warning,) = (event for event in events if isinstance(event, ev.Warned))
    assert warning.message.startswith(f"encoder.layout = packed was dropped: {words}")


def test_time_that_is_over_leaves_the_first_candidate(seconds: dict[str, float]) -> None:
    chosen, events = choose(spec("auto", probe_s=0))
    assert chosen.choice["encoder.layout"] == "buckets"
    assert chosen.candidates[1]["why"] == "the probe's time was up"
    assert not [event for event in events if isinstance(event, ev.Warned)]


def test_an_earlier_choice_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_probe", lambda *_: pytest.fail("a probe was made"))
    before = ev.EngineChosen({"encoder.layout": "packed"}, [], 1.5)
    chosen, events = choose(spec("auto"), before)
    assert (chosen.choice, chosen.seconds, chosen.reused) == (before.choice, 1.5, True)
    assert events == [chosen]


def test_the_choice_becomes_the_specification_of_every_worker() -> None:
    chosen = ev.EngineChosen({"encoder.layout": "packed", "encoder.bucket_tokens": 512, "cpu_threads": 3})
    found = probe.settled(spec("auto"), chosen)
    assert (found.encoder.layout, found.encoder.bucket_tokens, found.cpu_threads) == ("packed", 512, 3)
    system, _ = build_system(found, tiny_data(), CPU, seed=0)
    assert isinstance(system.encode.layout, PackedRows)
    assert system.encode.bucket_tokens == 512


def test_packed_rows_that_the_model_cannot_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tiny_systems.load_encoder

    def without(*arguments: object) -> object:
        encoder = honest(*arguments)
        encoder.packing = None
        return encoder

    monkeypatch.setattr("grambench.training.strategies.networks.load_encoder", without)
    with pytest.raises(ConfigError, match=r"cannot read packed rows\. Use --set encoder\.layout=buckets\."):
        choose(spec("packed"))
    monkeypatch.undo()
    assert choose(spec("packed"))[0].choice["encoder.layout"] == "packed"


def test_dropout_does_not_make_layouts_differ(seconds: dict[str, float]) -> None:
    given = spec("auto")
    dropping = given.encoder.model_copy(update={"dropout": 0.3})
    chosen, events = choose(given.model_copy(update={"encoder": dropping}))
    assert chosen.choice["encoder.layout"] == "packed"
    assert events == [chosen]


def test_a_gpu_has_a_choice_of_attention_layout_and_bucket_size() -> None:
    gpu = SimpleNamespace(torch=torch.device("cuda"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "free_bytes", lambda _: 80 * 2**30)
        options = probe._options(Spec(encoder=encoder_spec(layout="auto")), gpu)
    assert options == {
        "engine.attention": ("efficient", "math"),
        "encoder.layout": ("buckets", "packed"),
        "encoder.bucket_tokens": (16_384, 32_768, 65_536, 131_072),
    }


def test_bucket_sizes_follow_the_device_s_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Spec(encoder=encoder_spec(architecture=tiny_systems.Architecture(hidden_size=768, heads=12)))
    for gib, sizes in ((2, (16_384,)), (16, (16_384, 32_768)), (80, probe.BUCKETS_ON_CUDA)):
        monkeypatch.setattr(probe, "free_bytes", lambda _, gib=gib: gib * 2**30)
        assert tuple(probe._sizes_that_fit(wide, torch.device("cuda"))) == sizes


def test_a_worker_says_how_attention_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    here = resolve_device(Spec(device="cpu"))
    torch.set_num_threads(threads)
    assert here.attention() in ("flash", "math", "efficient")
    assert here.allocator() == {}
    assert not here.tf32


@pytest.mark.parametrize(("busy", "threads"), [(3, 4), (30, 3), (55, 2), (100, 1)])
def test_cores_that_are_busy_get_no_thread(
    busy: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four cores; a percentage is that of all."""
    monkeypatch.setattr(probe.psutil, "cpu_percent", lambda interval: busy)
    monkeypatch.setattr(probe, "process_time", lambda: 7.0)
    monkeypatch.setattr(probe.psutil, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: used.append(number))
    used: list[int] = []
    events: list[ev.Event] = []
    here = Device(CPU, "a CPU", None, False, 4)
    chosen = probe.choose(spec(), tiny_data(), here, events.append)
    assert chosen.choice["cpu_threads"] == threads
    warnings = [event.message for event in events if isinstance(event, ev.Warned)]
    assert [f"workers have {threads} instead of 4 threads" in words for words in warnings] == [True] * (
        threads < 4
    )
    assert used == [threads] * (threads < 4)


def test_the_thread_that_reads_the_data_is_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of four cores is busy, with this process."""
    cpu_s = iter((7.0, 7.0 + probe._LOOK_S))
    monkeypatch.setattr(probe.psutil, "cpu_percent", lambda interval: 25)
    monkeypatch.setattr(probe.psutil, "cpu_count", lambda: 4)
    monkeypatch.setattr(probe, "process_time", lambda: next(cpu_s))
    monkeypatch.setattr(torch, "set_num_threads", lambda number: pytest.fail("a thread was taken away"))
    chosen = probe.choose(spec(), tiny_data(), Device(CPU, "a CPU", None, False, 4), [].append)
    assert chosen.choice["cpu_threads"] == 4


def test_a_given_number_of_threads_is_not_questioned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.psutil, "cpu_percent", lambda interval: pytest.fail("the load was measured"))
    given = spec().model_copy(update={"cpu_threads": 4})
    here = Device(CPU, "a CPU", None, False, 4)
    assert probe.choose(given, tiny_data(), here, [].append).choice["cpu_threads"] == 4
