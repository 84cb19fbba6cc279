import ctypes.util
import sys

import pytest
from fake_nvml import MIB, FakeGpu, FakeNvml, divided, error, mig_slice, process

from grambench.events.types import GpuAbsent, GpuSample
from grambench.runner.gpu import GpuSampler

MEASURED = (
    "memory_used_bytes",
    "memory_total_bytes",
    "utilization_percent",
    "power_w",
    "temperature_c",
    "energy_j",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "throttle",
)


def opened(*gpus: FakeGpu, **options: object) -> tuple[GpuSampler, FakeNvml]:
    nvml = FakeNvml(*gpus)
    sampler = GpuSampler(nvml, **options)  # type: ignore[arg-type]
    assert sampler.open() is None
    return sampler, nvml


def only(sampler: GpuSampler) -> GpuSample:
    (sample,) = sampler.sample()
    for name in MEASURED:
        assert (getattr(sample, name) is None) == (name in sample.reasons)
    return sample


def test_readings_come_in_our_units_and_under_the_uuid() -> None:
    sampler, _ = opened(FakeGpu("GPU-a"), FakeGpu("GPU-b"))
    assert [(s.uuid, s.index) for s in sampler.sample()] == [("GPU-a", 0), ("GPU-b", 1)]
    assert sampler.sample()[0] == GpuSample(
        uuid="GPU-a",
        index=0,
        name="NVIDIA H200",
        memory_used_bytes=5 * MIB,
        memory_total_bytes=100 * MIB,
        utilization_percent=42.0,
        power_w=123.456,
        temperature_c=55.0,
        energy_j=9000.5,
        sm_clock_mhz=1980,
        memory_clock_mhz=3201,
        throttle=[],
    )


def test_old_bindings_give_names_as_bytes() -> None:
    gpu = FakeGpu("")
    gpu.uuid, gpu.name = b"GPU-a", b"NVIDIA \xff"
    sampler, _ = opened(gpu)
    assert (only(sampler).uuid, only(sampler).name) == ("GPU-a", "NVIDIA \N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (error("LIBRARY_NOT_FOUND"), "NVML Shared Library Not Found"),
        (error("DRIVER_NOT_LOADED"), "Driver Not Loaded"),
        (error("NO_PERMISSION"), "Insufficient Permissions"),
        (OSError("libnvidia-ml.so.1: wrong ELF class"), "libnvidia-ml.so.1: wrong ELF class"),
        (AttributeError(), "AttributeError"),
    ],
)
def test_a_machine_without_nvml_is_absent_with_nvmls_words(trouble: Exception, words: str) -> None:
    nvml = FakeNvml(FakeGpu("GPU-a"))
    nvml.init = trouble
    sampler = GpuSampler(nvml)
    assert sampler.open() == GpuAbsent(words)
    assert sampler.sample() == []
    assert sampler.process_memory([1])[1].reason == "no GPU is watched"
    sampler.close()
    assert nvml.shutdowns == 0


def test_a_driver_without_gpus_is_absent_and_let_go() -> None:
    nvml = FakeNvml()
    absent = GpuSampler(nvml).open()
    assert absent is not None
    assert "no GPU" in absent.reason
    assert nvml.shutdowns == 1


def test_a_missing_pynvml_names_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    absent = GpuSampler().open()
    assert absent is not None
    assert "nvidia-ml-py" in absent.reason


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="a driver is installed")
def test_the_real_pynvml_is_absent_on_a_machine_without_a_driver() -> None:
    absent = GpuSampler().open()
    assert absent is not None
    assert absent.reason == "NVML Shared Library Not Found"


@pytest.mark.parametrize(
    ("reading", "field"),
    [("utilization", "utilization_percent"), ("power", "power_w"), ("energy", "energy_j")],
)
@pytest.mark.parametrize("name", ["NOT_SUPPORTED", "NO_PERMISSION", "UNKNOWN"])
def test_each_reading_fails_on_its_own(reading: str, field: str, name: str) -> None:
    gpu = FakeGpu("GPU-a")
    setattr(gpu, reading, error(name))
    sampler, _ = opened(gpu)
    sample = only(sampler)
    assert sample.reasons == {field: str(error(name))}


def test_temperature_falls_back_to_the_deprecated_call() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.temperature = error("FUNCTION_NOT_FOUND")
    sampler, _ = opened(gpu)
    assert only(sampler).temperature_c == 54.0
    gpu.temperature_old = error("NOT_SUPPORTED")
    assert only(sampler).reasons == {"temperature_c": "Not Supported"}


def test_memory_falls_back_to_the_first_struct_and_says_so() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.memory = error("FUNCTION_NOT_FOUND")
    sampler, _ = opened(gpu)
    sample = only(sampler)
    assert sample.memory_used_bytes == 7 * MIB
    assert "v1" in sample.reasons["memory_note"]
    gpu.memory_v1 = error("NOT_SUPPORTED")
    assert only(sampler).reasons["memory_used_bytes"] == "Not Supported"


def test_memory_shared_with_the_host_is_null_not_zero() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.memory = (0, 0)
    sampler, _ = opened(gpu)
    assert "0 bytes" in only(sampler).reasons["memory_total_bytes"]


def test_nvmls_mark_for_not_available_is_null() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.power, gpu.energy = 2**32 - 1, 2**64 - 1
    sampler, _ = opened(gpu)
    assert set(only(sampler).reasons) == {"power_w", "energy_j"}


def test_a_divided_gpu_has_no_utilisation_and_says_why() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.mig, gpu.utilization = (1, 1), error("NOT_SUPPORTED")
    sampler, _ = opened(gpu)
    assert only(sampler).reasons["utilization_percent"].startswith("Not Supported (MIG")


def test_a_divided_gpu_that_is_lost_is_not_excused_by_mig() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.mig, gpu.utilization = (1, 1), error("GPU_IS_LOST")
    sampler, _ = opened(gpu)
    assert only(sampler).reasons["utilization_percent"] == "GPU is lost"


def test_slices_tell_their_memory_and_what_belongs_to_the_whole_gpu() -> None:
    one, two = mig_slice("MIG-1", 7, used=3 * MIB), mig_slice("MIG-2", 8)
    sampler, _ = opened(divided("GPU-a", None, one, two), FakeGpu("GPU-b"))
    whole, first, second, other = sampler.sample()
    assert [s.uuid for s in (whole, first, second, other)] == ["GPU-a", "MIG-1", "MIG-2", "GPU-b"]
    assert (whole.slices, first.slices, other.slices) == (2, None, None)
    assert (first.parent_uuid, first.instance) == ("GPU-a", "7/0")
    assert (first.memory_used_bytes, first.memory_total_bytes) == (3 * MIB, 18 * MIB)
    assert first.reasons["power_w"] == "measured for the whole of GPU 0, which 2 MIG slices share"
    assert first.reasons["utilization_percent"] == "MIG reports no utilisation per slice"
    assert {name for name in MEASURED if getattr(first, name) is None} == set(first.reasons)
    assert whole.power_w == 123.456
    assert "only an administrator" in whole.reasons["memory_used_bytes"]
    brief = sampler.sample(clocks=False, energy=False)[1]
    assert set(brief.reasons) == {"utilization_percent", "power_w", "temperature_c"}


def test_slices_that_cannot_be_listed_are_told() -> None:
    gpu = divided("GPU-a", error("NO_PERMISSION"))
    sampler, _ = opened(gpu)
    assert only(sampler).reasons["slices"] == "Insufficient Permissions"
    gpu.slices = error("FUNCTION_NOT_FOUND")
    sampler, _ = opened(gpu)
    assert only(sampler).reasons["slices"] == "Function Not Found"


def test_processes_of_slices_are_counted_once_and_named_by_slice() -> None:
    one, two = mig_slice("MIG-1", 7), mig_slice("MIG-2", 8)
    gpu = divided("GPU-a", one, two)
    one.compute, two.compute = [process(7, 100, 7)], [process(7, 20, 8), process(8, 1, 8)]
    gpu.compute = [*one.compute, *two.compute]
    sampler, _ = opened(gpu)
    memory = sampler.process_memory([7, 8])
    assert (memory[7].used_bytes, memory[7].gpus) == (120, ("MIG-1", "MIG-2"))
    assert (memory[8].used_bytes, memory[8].gpus) == (1, ("MIG-2",))
    one.compute = two.compute = error("NO_PERMISSION")
    assert sampler.process_memory([7])[7].used_bytes == 120
    gpu.compute = error("NO_PERMISSION")
    assert "slice MIG-1: Insufficient Permissions" in sampler.process_memory([7])[7].reason


def test_a_lost_gpu_goes_on_as_null_and_is_taken_up_again() -> None:
    now_s = [0.0]
    gpu, other = FakeGpu("GPU-a"), FakeGpu("GPU-b")
    sampler, nvml = opened(gpu, other, reopen_s=10.0, clock=lambda: now_s[0])
    healthy = dict(vars(gpu))
    gpu.fail("GPU_IS_LOST")
    for now_s[0] in (1.0, 5.0, 9.0):
        lost, fine = sampler.sample()
        assert dict.fromkeys(MEASURED, "GPU is lost") == lost.reasons
        assert lost.uuid == "GPU-a"
        assert not fine.reasons
    assert nvml.inits == 1
    now_s[0] = 12.0
    assert sampler.sample()[0].reasons["power_w"] == "the driver does not list the GPU any more"
    assert (nvml.inits, nvml.shutdowns) == (2, 1)
    vars(gpu).update(healthy)
    now_s[0] = 15.0
    assert sampler.sample()[0].power_w is None
    now_s[0] = 23.0
    assert sampler.sample()[0].power_w == 123.456
    assert not sampler.sample()[1].reasons
    assert nvml.inits == 3


def test_a_driver_that_goes_away_leaves_null_samples() -> None:
    now_s = [0.0]
    gpu = FakeGpu("GPU-a")
    sampler, nvml = opened(gpu, reopen_s=1.0, clock=lambda: now_s[0])
    gpu.power = error("UNINITIALIZED")
    only(sampler)
    nvml.init = error("DRIVER_NOT_LOADED")
    now_s[0] = 2.0
    assert set(only(sampler).reasons.values()) == {"Driver Not Loaded"}
    assert sampler.process_memory([1])[1].reason == "GPU 0: Driver Not Loaded"


def test_a_gpu_out_of_order_at_the_start_does_not_hide_the_others() -> None:
    broken = FakeGpu("GPU-a")
    broken.handle = error("GPU_IS_LOST")
    sampler, _ = opened(broken, FakeGpu("GPU-b"))
    first, second = sampler.sample()
    assert first.reasons["power_w"] == "GPU is lost"
    assert second.power_w is not None


def test_process_memory_is_summed_over_gpus_and_counted_once_per_gpu() -> None:
    one, two = FakeGpu("GPU-a"), FakeGpu("GPU-b")
    one.compute, one.graphics = [process(7, 100), process(8, 1)], [process(7, 100)]
    two.compute = [process(7, 20)]
    sampler, _ = opened(one, two)
    memory = sampler.process_memory([7, 8, 9])
    assert (memory[7].used_bytes, memory[8].used_bytes) == (120, 1)
    assert memory[9].used_bytes is None
    assert not memory[9].listed
    assert "other processes only" in memory[9].reason


def test_process_memory_sums_the_instances_of_a_divided_gpu() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.compute = [process(7, 100, 1), process(7, 50, 2)]
    sampler, _ = opened(gpu)
    assert sampler.process_memory([7])[7].used_bytes == 150


@pytest.mark.parametrize("used", [None, 2**64 - 1])
def test_process_memory_that_nvml_does_not_tell_is_null(used: int | None) -> None:
    gpu, other = FakeGpu("GPU-a"), FakeGpu("GPU-b")
    gpu.compute, other.compute = [process(7, used)], [process(7, 20)]
    sampler, _ = opened(gpu, other)
    assert sampler.process_memory([7])[7].used_bytes is None
    assert "not its memory" in sampler.process_memory([7])[7].reason


def test_an_empty_process_list_is_null_with_the_containers_reason() -> None:
    sampler, _ = opened(FakeGpu("GPU-a"))
    assert "container" in sampler.process_memory([7])[7].reason


def test_a_gpu_without_lists_is_the_reason_only_for_processes_found_nowhere() -> None:
    broken, fine = FakeGpu("GPU-a"), FakeGpu("GPU-b")
    broken.compute, fine.compute = error("NOT_SUPPORTED"), [process(7, 20)]
    fine.graphics = error("NOT_SUPPORTED")
    sampler, _ = opened(broken, fine)
    memory = sampler.process_memory([7, 8])
    assert memory[7].used_bytes == 20
    assert memory[8].reason == "GPU 0: Not Supported"


def test_close_lets_nvml_go_once() -> None:
    sampler, nvml = opened(FakeGpu("GPU-a"))
    sampler.close()
    sampler.close()
    assert nvml.shutdowns == 1
    assert sampler.sample() == []


def test_low_clocks_have_their_reasons_in_words() -> None:
    gpu = FakeGpu("GPU-a")
    gpu.throttle = 0x1 | 0x4 | 0x20
    sampler, _ = opened(gpu)
    assert only(sampler).throttle == ["power cap", "heat"]
    gpu.throttle = error("NOT_SUPPORTED")
    assert only(sampler).throttle is None
