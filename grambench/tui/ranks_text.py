"""The machine screen's part about ranks: a row for each, or a strip of cells and the slowest by name."""

from collections.abc import Iterable

from textual.content import Content

from grambench.analysis.ranks import items_per_second, slowness, waiting_share
from grambench.events.gpu_identity import used_gpu
from grambench.events.state import RankState, TrialState
from grambench.text import safe_text
from grambench.tui.line_parts import Parts, fill, styled
from grambench.tui.scene import Scene
from grambench.views import numbers

ROWS = 16
"""Most ranks that get a row each."""
NAMED = 5
"""How many of more ranks are named."""
_WAITS, _WAITS_LONG = 0.1, 0.3
"""Shares of waiting from which a cell of the strip is yellow, and red."""
_HEADS = (("device", 9), ("busy", 7), ("GiB", 7), ("items/s", 10), ("wait", 7))
_RANK = 6


def ranks_text(scene: Scene, width: int) -> list[Content]:
    """A block for each running trial that several ranks train, or for the last one that has ended."""
    trials = [trial for trial in scene.state.trials.values() if trial.group is not None and trial.group.ranks]
    running = [trial for trial in trials if not trial.ended]
    return [_block(scene, trial, width) for trial in running or trials[-1:]]


def _block(scene: Scene, trial: TrialState, width: int) -> Content:
    assert trial.group is not None
    ranks, slow = trial.group.ranks, [number for number, _ in slowness(trial.group)]
    lines = [_title(scene, trial, width)]
    if len(ranks) > ROWS:
        lines += _strip(scene, ranks, width)
    named = sorted(ranks) if len(ranks) <= ROWS else slow[:NAMED]
    if len(ranks) > ROWS:
        words = f"the {NAMED} slowest" if named else "waiting is not measured on CUDA"
        lines.append(styled(words, scene.tones.muted))
    if named:
        heads = "".join(f"{head:>{room}}" for head, room in _HEADS)
        lines.append(styled(f"{'rank':<{_RANK}}{heads}  host", scene.tones.muted))
    lines += [_row(scene, number, ranks[number]) for number in named]
    return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])


def _title(scene: Scene, trial: TrialState, width: int) -> Content:
    group, tones = trial.group, scene.tones
    assert group is not None
    look, share = scene.look(trial), waiting_share(group.ranks.values())
    parts: Parts = [
        (4, styled("ranks", f"bold {tones.accent}")),
        (3, styled(f"{look.marker} {scene.title(trial)}", look.colour)),
    ]
    if group.formed is not None:
        nodes = f"{group.formed.nodes} node{'s' if group.formed.nodes != 1 else ''}"
        parts.append(
            (2, styled(f"{group.size} on {nodes} ({safe_text(group.formed.backend, 8)})", tones.text))
        )
    if share is not None:
        parts.append((1, styled(f"wait {100 * share:.0f} %", tones.text)))
    heard = max((rank.seen_s for rank in group.ranks.values() if rank.seen_s is not None), default=None)
    if heard is not None and not trial.ended:
        ago = numbers.clock(scene.state.elapsed_s - heard)
        parts.append((0, styled(f"last sample {ago} ago", tones.muted)))
    return fill(parts, width)


def _row(scene: Scene, number: int, rank: RankState) -> Content:
    started, share = rank.started, waiting_share([rank])
    found = used_gpu(started.gpu_uuid, scene.state.gpus) if started and started.gpu_uuid else None
    gpu = found.last if found else None
    busy = gpu.utilization_percent if gpu else None
    held = gpu.memory_used_bytes if gpu else rank.sample.peak_bytes if rank.sample else None
    cells = (
        f"GPU {gpu.index}" if gpu else safe_text(started.device, 8) if started else numbers.DASH,
        numbers.DASH if busy is None else f"{busy:.0f} %",
        numbers.gib(held),
        numbers.rate(items_per_second(rank)),
        numbers.DASH if share is None else f"{100 * share:.0f} %",
    )
    text = "".join(f"{cell:>{room}}" for cell, (_, room) in zip(cells, _HEADS, strict=True))
    host = f"  {safe_text(started.host, 40)}" if started else ""
    return styled(f"{f'r{number}':<{_RANK}}{text}{host}", scene.tones.text)


def _strip(scene: Scene, ranks: dict[int, RankState], width: int) -> list[Content]:
    """A cell for each rank, full from half the time on; rows begin with the number of their first rank."""
    a_row, order = max(8, (width - _RANK) // 8 * 8), sorted(ranks)
    rows = [order[first : first + a_row] for first in range(0, len(order), a_row)]
    return [_cells(scene, ((number, waiting_share([ranks[number]])) for number in row)) for row in rows]


def _cells(scene: Scene, shares: Iterable[tuple[int, float | None]]) -> Content:
    found, tones = list(shares), scene.tones
    cells = []
    for _, share in found:
        colour = tones.muted if share is None else tones.good if share < _WAITS else tones.warn
        colour = tones.bad if share is not None and share >= _WAITS_LONG else colour
        cells.append(("·" if share is None else numbers.block(2 * share), colour))
    return Content.assemble((f"{f'r{found[0][0]}':<{_RANK}}", tones.muted), *cells)
