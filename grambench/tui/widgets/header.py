"""The top of the screen: what runs, on what machine, for how long."""

from textual.content import Content

from grambench.events.state import RunState
from grambench.events.types import GpuSample
from grambench.text import safe_text
from grambench.tui.line_parts import ends, fill, pair, styled
from grambench.tui.scene import Scene
from grambench.tui.widgets.text import Lines
from grambench.views import numbers
from grambench.views.numbers import gib


class Header(Lines):
    """One line on a wide screen, else two."""

    def __init__(self) -> None:
        super().__init__(id="header")

    def show(self, scene: Scene) -> None:
        """Draw the scene's run and machine."""
        self._scene = scene
        self._draw()

    def compose_lines(self, scene: Scene) -> Content:
        """What fits, most important first."""
        width, rows = self.content_size
        state, tones = scene.state, scene.tones
        left = [
            (9, styled("grambench", f"bold {tones.accent}")),
            (8, styled(safe_text(state.preset, 28) or numbers.DASH, f"bold {tones.text}")),
        ]
        about = [
            (5, styled(_tail(state.model_label, 40), tones.text)),
            (3, styled(safe_text(state.data_label, 60), tones.muted)),
        ]
        about = [part for part in about if part[1].plain]
        audit = [(7, part) for part in (audit_verdict(scene), last_look(scene)) if part is not None]
        clock = [
            (4, styled(safe_text(state.schedule, 12), tones.muted)),
            (9, _clock(scene)),
        ]
        machine = machine_readings(scene, narrow=width < 90)
        if rows < 2:
            return ends([*left, *about, *audit], [(6, machine), *clock], width, "   ")
        first = ends([*left, *audit], clock, width, "   ")
        room = width - machine.cell_length - 2
        second = pair(fill(about, room, "   ") if about and room > 8 else Content(""), machine, width)
        return Content("\n").join([first, second])


def audit_verdict(scene: Scene) -> Content | None:
    """`✓ 1S = E2E to 3e-15`, once the audit is done."""
    audit = scene.state.setup.audit
    if audit is None:
        return None
    worst = numbers.tolerance(audit.relative)
    if audit.equivalent:
        return Content.assemble(("✓ ", scene.tones.good), (f"1S = E2E to {worst}", scene.tones.text))
    return Content.assemble(("✗ ", scene.tones.bad), (f"1S ≠ E2E, off by {worst}", scene.tones.bad))


def last_look(scene: Scene) -> Content | None:
    """What `--until-decided` knows: `seed 8 of at most 20: undecided`; None before its first look."""
    if not scene.state.looks:
        return None
    look, tones = scene.state.looks[-1], scene.tones
    word, colour = ("decided", tones.good) if look.decided else ("undecided", tones.accent)
    return Content.assemble((f"seed {look.seeds} of at most {look.most}: ", tones.muted), (word, colour))


def machine_readings(scene: Scene, narrow: bool) -> Content:
    """The watched GPU's readings, or CPU and memory where there is none."""
    gpu, tones = _watched(scene.state), scene.tones
    if gpu is not None:
        parts = [
            (9, styled(_short_gpu(gpu.name), tones.text)),
            (5, _reading(gpu.utilization_percent, "%", scene)),
            (6, _reading(gpu.temperature_c, "°C", scene)),
            (7, _reading(gpu.power_w, "W", scene)),
            (8, _memory(gpu.memory_used_bytes, gpu.memory_total_bytes, scene)),
        ]
        gpus = sum(not each.last.parent_uuid for each in scene.state.gpus.values())
        if gpus > 1:
            parts.insert(1, (4, styled(f"GPU {gpu.index} of {gpus}", tones.muted)))
        return fill(parts, 48 if narrow else 60)
    host = scene.state.host
    return fill(
        [
            (9, Content.assemble(("CPU ", tones.muted), _reading(host.cpu_percent, "%", scene))),
            (
                8,
                Content.assemble(
                    ("RAM ", tones.muted), _memory(host.memory_used_bytes, host.memory_total_bytes, scene)
                ),
            ),
        ],
        48,
    )


def _watched(state: RunState) -> GpuSample | None:
    """The GPU of the trial whose turn it is, else of any trial, else the first."""
    active = state.trials.get(state.active or "")
    for trial in (active, *reversed(list(state.trials.values()))):
        gpu = state.gpu_of(trial) if trial is not None else None
        if gpu is not None:
            return gpu.last
    on_cpu = any(trial.started is not None for trial in state.trials.values())
    return None if on_cpu else next((gpu.last for gpu in state.gpus.values()), None)


def _short_gpu(name: str) -> str:
    return safe_text(name.removeprefix("NVIDIA ").removeprefix("GeForce "), 22)


def _reading(value: float | None, unit: str, scene: Scene) -> Content:
    """A number in a slot of three, so that the line does not jump."""
    number = numbers.DASH if value is None else f"{value:.0f}"
    return Content.assemble((f"{number:>3}", scene.tones.text), (f" {unit}", scene.tones.muted))


def _memory(used: float | None, total: float | None, scene: Scene) -> Content:
    text = f"{gib(used)}/{gib(total)}"
    return Content.assemble((text, scene.tones.text), (" GiB", scene.tones.muted))


def _clock(scene: Scene) -> Content:
    state = scene.state
    seconds = state.seconds if state.finished and state.seconds is not None else state.elapsed_s
    clock = styled(numbers.clock(seconds), f"bold {scene.tones.text}")
    if state.paused and not state.finished:
        return Content.assemble((" PAUSED ", f"bold reverse {scene.tones.warn}"), "  ", clock)
    return clock


def _tail(label: str, limit: int) -> str:
    """A model's name without its owner, a folder's without its parents."""
    return safe_text(label, 4 * limit).rstrip("/").rpartition("/")[2][:limit]
