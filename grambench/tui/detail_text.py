"""The texts of the detail screens: tables about a strategy and the machine, and what the run says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.content import Content

from grambench.analysis import comparison
from grambench.analysis.compared import Compared
from grambench.analysis.grade_facts import tuning_words
from grambench.analysis.ranking import Place, ranking_sentence
from grambench.analysis.ranks import received_per_step, reuse_ratios, waiting_share_so_far
from grambench.events.disturbance import disturbances
from grambench.events.nvml_words import in_words
from grambench.events.state import RunState, TrialState
from grambench.events.types import GpuSample, Progress
from grambench.text import safe_text
from grambench.tui.line_parts import bar, styled
from grambench.tui.palette import conclusion_colour
from grambench.tui.ranks_text import ranks_text
from grambench.tui.scene import Scene
from grambench.views import numbers
from grambench.views.comparison_table import best_score, memory_of, settings_words, test_score

Rows = Sequence[tuple[str, str]]
_LABEL = 20
_METER_TEXT = 22
"""Columns of the text after a meter, so that all meters have the same length."""
_NUMBERS = 41
"""Columns of the numbers of a worker, and a blank before the scrollbar."""


def strategy_text(scene: Scene, trial: TrialState) -> Content:
    """State, plan, speed, windows and memory of a trial."""
    parts = [(title, rows(scene, trial)) for title, rows in _PARTS]
    return Content("\n\n").join([_table(scene, title, rows) for title, rows in parts if rows])


def _state(scene: Scene, trial: TrialState) -> Rows:
    progress, plan = trial.progress, trial.plan
    share = progress.encode_s / progress.train_s if progress and progress.train_s > 0 else None
    why = f": {safe_text(trial.reason, 160)}" if trial.reason else ""
    steps = numbers.count(progress.step if progress else None) + _of(plan.max_steps if plan else None)
    at = ", ".join(map(numbers.count, trial.resumed_steps))
    resumed = [("resumed at step", at)] if at else []
    turns = f"{trial.turns}, {numbers.seconds(trial.switch_s)} s of switching"
    return (
        ("", scene.state_word(trial) + why),
        ("step", steps),
        ("training", f"{numbers.seconds(progress.train_s if progress else None)} s"),
        ("in the encoder", _percent(share)),
        *resumed,
        ("turns", turns if trial.turns else numbers.DASH),
    )


def _disturbed(_: Scene, trial: TrialState) -> Rows:
    return [("", disturbance.message) for disturbance in disturbances(trial)]


def _speed(scene: Scene, trial: TrialState) -> Rows:
    return (
        ("samples/s", numbers.rate(comparison.samples_per_second(trial))),
        ("items encoded/s", numbers.rate(comparison.items_encoded_per_second(trial))),
        ("tokens/s", numbers.rate(comparison.tokens_per_second(trial))),
        ("× e2e", numbers.ratio(comparison.speedup(scene.state, trial))),
        ("R", numbers.ratio(comparison.reuse_ratio(trial))),
    )


def _learning(scene: Scene, trial: TrialState) -> Rows:
    progress, metric = trial.progress, scene.state.metric.title
    return (
        ("loss", numbers.score(trial.loss_series.last)),
        ("encoder's rate", _small(progress.encoder_lr if progress else None)),
        ("filter's rate", _small(progress.filter_lr if progress else None)),
        *_clipping(progress),
        (f"val {metric}, best", numbers.score(best_score(scene.state, trial))),
        (f"test {metric}", numbers.score(test_score(scene.state, trial))),
    )


def _clipping(progress: Progress | None) -> Rows:
    """How often gradients were clipped, and their mean norm before that."""
    if progress is None:
        return ()
    found = (
        ("encoder clipped", progress.encoder_clipped, progress.encoder_gradient_norm),
        ("filter clipped", progress.filter_clipped, progress.filter_gradient_norm),
    )
    return [(name, f"{share:.0%}, norm {_small(norm)}") for name, share, norm in found if share is not None]


def _windows(_: Scene, trial: TrialState) -> Rows:
    window = trial.windows[-1] if trial.windows else None
    spread_drift = window.spread_drift if window else None
    return (
        ("closed", numbers.count(trial.windows_closed)),
        ("steps", numbers.count(window.steps if window else None)),
        ("drift", numbers.score(window.drift if window else None)),
        *([] if spread_drift is None else [("of the spread", numbers.score(spread_drift))]),
        ("pseudo-loss", numbers.score(window.pseudo_loss if window else None)),
    )


def _staleness(_: Scene, trial: TrialState) -> Rows:
    """Of the vectors that its filter has read, before the newest validation."""
    if not trial.staleness:
        return ()
    last = trial.staleness[-1]
    return (
        ("steps, mean", numbers.ratio(last.mean_age)),
        ("steps, most", numbers.count(last.max_age)),
        ("drift of the spread", numbers.score(last.drift)),
    )


def _memory(scene: Scene, trial: TrialState) -> Rows:
    progress, memory = trial.progress, memory_of(scene.state, trial)
    return (
        ("now / peak", f"{numbers.gib(memory.now)} / {numbers.gib(memory.peak)} GiB"),
        ("torch, reserved", f"{numbers.gib(progress.peak_reserved_bytes if progress else None)} GiB"),
        ("NVML, process", f"{numbers.gib(trial.peak_gpu_memory_bytes)} GiB"),
        ("NVML, device", f"{numbers.gib(trial.peak_device_used_bytes)} GiB"),
        ("resident", f"{numbers.gib(trial.rss_bytes)} / {numbers.gib(trial.peak_rss_bytes)} GiB"),
    )


def _ranks(_: Scene, trial: TrialState) -> Rows:
    group = trial.group
    if group is None:
        return ()
    own, whole = reuse_ratios(group)
    received = received_per_step(group)
    return (
        ("number", numbers.count(group.size)),
        ("in messages", _percent(waiting_share_so_far(group.ranks.values()))),
        ("MiB a step", numbers.rate(None if received is None else received / numbers.MIB)),
        ("R of a part", numbers.ratio(own)),
        ("R of a batch", numbers.ratio(whole)),
        ("restarts", numbers.count(trial.restarts)),
    )


def _plan(_: Scene, trial: TrialState) -> Rows:
    plan = trial.plan
    return (
        *([("strategy", trial.strategy)] if trial.label != trial.strategy else []),
        *(("", settings_words({key: value})) for key, value in trial.settings.items()),
        ("parameters", f"{numbers.count(plan.encoder_parameters if plan else None)} encoder"),
        (" ", f"{numbers.count(plan.filter_parameters if plan else None)} filter"),
        *_trained(trial),
        ("micro-batch", numbers.count(plan.micro_batch if plan else None)),
        ("encoder chunk", numbers.count(plan.encoder_chunk if plan else None)),
        ("", safe_text(plan.why, 200) if plan else numbers.DASH),
    )


def _trained(trial: TrialState) -> Rows:
    """What of the encoder is trained, where that is not all of it, and the states of the rest."""
    plan, states = trial.plan, trial.states
    if plan is None or plan.adapt == "full":
        return ()
    rows = [("trained", f"{numbers.count(plan.trainable_parameters)} encoder ({safe_text(plan.adapt, 12)})")]
    if states is not None:
        size, place = numbers.rate(states.bytes / numbers.MIB), "device" if states.on_device else "file"
        rows.append(("states", f"{size} MiB ({place}), {numbers.seconds(states.seconds)} s"))
    return rows


_PARTS: tuple[tuple[str, Callable[[Scene, TrialState], Rows]], ...] = (
    ("state", _state),
    ("disturbed by", _disturbed),
    ("speed", _speed),
    ("learning", _learning),
    ("windows", _windows),
    ("age of vectors", _staleness),
    ("memory", _memory),
    ("ranks", _ranks),
    ("plan", _plan),
)
"""Title and rows of each table, from top to bottom; one without rows is omitted."""


def machine_text(scene: Scene, width: int, facts: Mapping[str, Any] | None = None) -> Content:
    """Ranks, GPUs, host, software, and the memory of each worker; `facts` of the host are in `run.json`."""
    state = scene.state
    blocks = [_gpu(scene, gpu.last, width) for gpu in state.gpus.values()]
    if not blocks:
        why = (
            f"none is watched: {safe_text(in_words(state.gpu_absent), 160)}"
            if state.gpu_absent
            else "no sample was taken yet"
        )
        blocks = [Content.assemble(("GPU\n", f"bold {scene.tones.accent}"), (why, scene.tones.muted))]
    host = state.host
    used = _share(host.memory_used_bytes, host.memory_total_bytes)
    rows = [
        Content.assemble(("host", f"bold {scene.tones.accent}")),
        *(styled(line, scene.tones.text) for line in _host(state, facts or {}) if line),
        _meter(scene, "CPU", None if host.cpu_percent is None else host.cpu_percent / 100, width),
        _meter(scene, "RAM", used, width, f"{numbers.gib(host.memory_used_bytes)} GiB"),
    ]
    if host.disk_total_bytes is not None:
        taken = None if host.disk_free_bytes is None else 1 - host.disk_free_bytes / host.disk_total_bytes
        rows.append(_meter(scene, "disk", taken, width, f"{numbers.gib(host.disk_free_bytes)} GiB free"))
    blocks.append(Content("\n").join(rows))
    blocks.append(_workers(scene, width))
    return Content("\n\n").join([*ranks_text(scene, width), *blocks])


def _host(state: RunState, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Model and cores of the CPU; what the newest worker computes with."""
    started = next((t.started for t in reversed(state.trials.values()) if t.started is not None), None)
    on_cpu = started is not None and started.device == "cpu"
    model = facts.get("cpu_model") or (started.device_name if started is not None and on_cpu else "")
    cores, threads = facts.get("physical_cores"), facts.get("logical_cores") or state.host.cpus
    sizes = (_plural(cores, "core"), _plural(threads, "hardware thread" if cores else "CPU"))
    if started is None:
        return _listed(model, *sizes), ""
    torch, cuda = started.versions.get("torch"), started.versions.get("cuda")
    return _listed(model, *sizes), _listed(
        f"torch {torch}" if torch else "",
        f"CUDA {cuda}" if cuda else "",
        f"{_plural(started.threads, 'thread')} a worker",
        started.precision,
        f"{started.attention} attention" if started.attention else "",
    )


def _plural(count: int | None, what: str) -> str:
    return "" if count is None else f"{count} {what}{'s' if count != 1 else ''}"


def _listed(*parts: str) -> str:
    return safe_text(", ".join(part for part in parts if part), 160)


def verdict_text(scene: Scene, width: int) -> Content:
    """Who won, each comparison, then the marks that the run lost and what would win them back."""
    verdict, tones = scene.verdict, scene.tones
    compared = verdict.compared if verdict else ()
    blocks = [_compared(scene, each, width) for each in compared]
    if verdict and verdict.places:
        blocks.insert(0, _won(scene, verdict.places, width))
    if not blocks:
        blocks = [styled("Nothing can be compared yet: no two strategies have ended.", tones.muted)]
    grade = verdict.grade if verdict and compared else None
    if grade is not None:
        lines = [styled("self-grade", f"bold {tones.accent}"), styled(grade.headline(), tones.text)]
        for mark in grade.lost:
            words = (f"{mark.message} {mark.mend}", tones.text)
            lines += _hanging(Content.assemble((f"{mark.code}  ", tones.warn), words), width)
        blocks.append(Content("\n").join(lines))
    return Content("\n\n").join(blocks)


def _won(scene: Scene, found: Sequence[Place], width: int) -> Content:
    """The sentence of the ranking, with the best label's marker."""
    look, sentence = scene.looks[found[0].label], ranking_sentence(found, scene.state.metric.title)
    marker = styled(f"{look.marker} ", f"bold {look.colour}")
    first, *rest = _hanging(styled(safe_text(sentence, 4000), scene.tones.text), width)
    return Content("\n").join([Content.assemble(marker, first[2:]), *rest])


def _compared(scene: Scene, each: Compared, width: int) -> Content:
    tones, c = scene.tones, each.comparison
    look = scene.looks[c.candidate]
    tuning = tuning_words(scene.state, c.candidate)
    title = Content.assemble(
        (f"{look.marker} {safe_text(c.candidate, 24)}  ", f"bold {look.colour}"),
        (c.conclusion, f"bold {conclusion_colour(c.conclusion, tones)}"),
        (f"  {tuning}", tones.muted),
    )
    sentences = filter(None, (each.sentence, each.cost_sentence))
    lines = [styled(safe_text(sentence, 1000), tones.text) for sentence in sentences]
    return Content("\n").join([title, *(row for line in lines for row in _hanging(line, width))])


def _hanging(text: Content, width: int) -> list[Content]:
    """Wrapped, with two cells before each row."""
    return [Content.assemble("  ", row) for row in text.wrap(max(8, width - 2))]


def _gpu(scene: Scene, gpu: GpuSample, width: int) -> Content:
    total = _share(gpu.memory_used_bytes, gpu.memory_total_bytes)
    percent = gpu.utilization_percent
    readings = [
        f"{numbers.count(gpu.power_w)} W",
        f"{numbers.count(gpu.temperature_c)} °C",
        f"{numbers.count(gpu.sm_clock_mhz)} / {numbers.count(gpu.memory_clock_mhz)} MHz",
        f"throttled: {', '.join(gpu.throttle) or 'no'}" if gpu.throttle is not None else "throttled: –",
    ]
    title = f"GPU {gpu.index}  {safe_text(gpu.name, 40)}"
    rows = [
        styled(title, f"bold {scene.tones.accent}"),
        _meter(scene, "busy", None if percent is None else percent / 100, width),
        _meter(scene, "memory", total, width, f"{numbers.gib(gpu.memory_used_bytes)} GiB"),
        styled("   ".join(readings), scene.tones.text),
    ]
    rows += [
        styled(f"{_quantity(name)}: {safe_text(in_words(why), 160)}", scene.tones.muted)
        for name, why in gpu.reasons.items()
    ]
    return Content("\n").join(rows)


def _quantity(field: str) -> str:
    """`memory used` of `memory_used_bytes`."""
    return " ".join(
        part for part in field.split("_") if part not in ("bytes", "percent", "w", "j", "c", "mhz")
    )


def _workers(scene: Scene, width: int) -> Content:
    tones = scene.tones
    room = max(8, min(_LABEL, width - _NUMBERS))
    on_gpus = bool(scene.state.gpus)
    head = f"{'worker':<{room}}{'resident GiB':>14}{'peak':>8}" + (
        f"{'GPU GiB':>10}{'peak':>8}" if on_gpus else ""
    )
    rows = [styled("memory by process", f"bold {tones.accent}"), styled(head, tones.muted)]
    for trial in scene.state.trials.values():
        look = scene.look(trial)
        rss, on_gpu = (None, None) if trial.ended else (trial.rss_bytes, trial.gpu_memory_bytes)
        cells = f"{numbers.gib(rss):>14}{numbers.gib(trial.peak_rss_bytes):>8}"
        if on_gpus:
            cells += f"{numbers.gib(on_gpu):>10}{numbers.gib(trial.peak_gpu_memory_bytes):>8}"
        name = f"{look.marker} {scene.title(trial, room - 3)}"
        rows.append(Content.assemble((f"{name:<{room}}", look.colour), (cells, tones.text)))
    return Content("\n").join(rows)


def _meter(scene: Scene, name: str, share: float | None, width: int, amount: str = "") -> Content:
    reading = f"{_percent(share):>6}  {amount}"
    room = max(8, min(60, width - 8 - _METER_TEXT))
    return Content.assemble(
        (f"{name:<8}", scene.tones.muted),
        bar(share, room, scene.tones.accent, scene.tones.faint),
        (reading, scene.tones.text),
    )


def _table(scene: Scene, title: str, rows: Rows) -> Content:
    tones = scene.tones
    lines = [styled(title, f"bold {tones.accent}")]
    for label, value in rows:
        style = (
            tones.faint
            if value.strip() in (numbers.DASH, f"{numbers.DASH} GiB", f"{numbers.DASH} s")
            else tones.text
        )
        lines.append(Content.assemble((f"{label:<{_LABEL}}" if label else "", tones.muted), (value, style)))
    return Content("\n").join(lines)


def _of(total: int | None) -> str:
    return "" if total is None else f" of {total:,}"


def _percent(share: float | None) -> str:
    return numbers.DASH if share is None else f"{share:.0%}"


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _small(value: float | None) -> str:
    return numbers.DASH if value is None else f"{value:.2e}"
