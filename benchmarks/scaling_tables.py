"""The tables of `docs/scaling.md`."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.harness import short
from benchmarks.scaling_inputs import (
    CPU_EPOCH,
    MIND_TOKENS,
    ONE_CARD_A_GPU,
    ONE_CARD_A_MACHINE,
    TOEIC_TOKENS,
    counted,
    cpu_costs,
    document,
    inputs,
    law_of,
    median,
    tasks,
    toeic_costs,
)
from benchmarks.scaling_law import Law
from benchmarks.scaling_model import (
    GRAPHS,
    LOCAL,
    OVERLAP,
    TODAY,
    Design,
    Group,
    Task,
    Traffic,
    Wires,
    dense_bytes,
    needed_bytes,
)

Row = dict[str, str]
RANKS = (1, 2, 4, 8, 64, 512)
DATA = {
    "generated": "generated, MIND-small's size",
    "mind-sample": "MIND-small's sample",
    "goodreads": "goodreads",
}


def seconds(value: float) -> str:
    """In the unit that suits."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("s", 1.0)):
        if value >= 2 * size:
            return f"{short(value / size)} {unit}"
    return f"{short(value)} s" if value >= 1 else f"{short(1e3 * value)} ms"


def size(value: float) -> str:
    """Bytes, in powers of 1,000."""
    for unit, of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= of:
            return f"{short(value / of)} {unit}"
    return f"{value:.0f} B"


def everything() -> Iterator[tuple[str, list[Row]]]:
    """Titles and tables, in the page's order."""
    found = tasks()
    yield "Distinct items of a batch, counted and by the law", law()
    yield "Inputs (A: assumed, not measured)", [each.cells() for each in inputs()]
    yield "The model on one device, against what was measured", checks()
    for task in found.values():
        yield f"Weak scaling: {task.name}, {task.users} users on each GPU", weak(task, ONE_CARD_A_GPU)
    for users in (256, 4096):
        one = replace(found["mind-small"], users=users)
        yield (
            f"Strong scaling: {one.name}, {users:,} users and mini-batches of 256 items on all GPUs",
            strong(one),
        )
    one = found["toeic"]
    yield (
        f"Strong scaling: {one.name}, {one.users} users and mini-batches of 256 items on all GPUs",
        strong(one),
    )
    for name in ("mind-small", "10^8"):
        yield (
            f"Bytes that a GPU receives: {found[name].name}, {found[name].users} users on each",
            received(found[name]),
        )
    yield (
        f"Weak scaling: {found['mind-large'].name}; {ONE_CARD_A_MACHINE.name}",
        weak(found["mind-large"], ONE_CARD_A_MACHINE),
    )
    yield (
        "Measured: gloo ranks on two shared CPU cores, which is no evidence about GPUs",
        document("scaling_ranks")["rows"],
    )


def law() -> list[Row]:
    """U and R of each data set, with the law's error."""
    rows = []
    for name, words in DATA.items():
        data = counted(name)
        fitted = law_of(name)
        for users, found in data.distinct.items():
            draws = data.occurrences * users
            rows.append(
                {
                    "data": words,
                    "users": f"{users:,}" + (" (all)" if users == data.samples else ""),
                    "U counted": f"{found:,.0f}",
                    "U by the law": f"{fitted.distinct(draws):,.0f}",
                    "R counted": f"{draws / found:.2f}",
                    "R by the law": f"{draws / fitted.distinct(draws):.2f}",
                }
            )
    return rows


def checks() -> list[Row]:
    """What was measured on one device beside what the model says of it."""
    generated = Group.weak(tasks()["mind-small"], ONE_CARD_A_GPU, 1)
    rates = {
        name: median("measure", f"strategies: {name}, packed, graphs, samples/s")
        for name in ("e2e", "gram-1s")
    }
    h200 = "`measure`, H200"
    lines = [
        (h200, "e2e, a step of 256 (an input)", generated.e2e().total, 256 / rates["e2e"]),
        (h200, "gram-1s, a step of 256 (an input)", generated.single_step().total, 256 / rates["gram-1s"]),
        (
            h200,
            "gram-1e, an epoch",
            generated.multi_step().total,
            median("measure", "epoch: a whole epoch, s"),
        ),
        ("`toeic_cuda`, H200", "e2e, a step of 32", *_toeic_step()),
        ("`toeic_cuda`, H200", "gram-1e, an epoch of 250 steps", *_toeic_epoch()),
        ("`epoch`, CPU", "e2e, a step of 256", *_cpu_step()),
        ("`epoch`, CPU", "gram-1e, an epoch", *_cpu_epoch()),
    ]
    return [
        {
            "from": source,
            "what": what,
            "model": seconds(model_s),
            "measured": seconds(measured_s),
            "off by": f"{100 * (model_s / measured_s - 1):+.0f} %",
        }
        for source, what, model_s, measured_s in lines
    ]


def _toeic_step() -> tuple[float, float]:
    costs, label = toeic_costs(), "6 layers, 768 wide"
    step_s = 3200 * TOEIC_TOKENS * costs.token_s + costs.filter_s
    return step_s, median("toeic_cuda", f"{label}: E2E, a step, s")


def _toeic_epoch() -> tuple[float, float]:
    """All 1,500 items are read."""
    facts = document("toeic_cuda")["facts"]
    size = Law(facts["items"], 0.0, 0.0)
    task = replace(tasks()["toeic"], law=size, samples=facts["answers"] // 100)
    closing = replace(Group.weak(task, ONE_CARD_A_GPU, 1), items=64)
    return closing.multi_step().total, median("toeic_cuda", "6 layers, 768 wide: gram-1e, an epoch, s")


def _cpu_step() -> tuple[float, float]:
    costs, reads = cpu_costs(), 6_863  # of 256 users (`results/reuse.json`)
    step_s = reads * MIND_TOKENS * costs.token_s + 256 * costs.filter_user_s
    return step_s, median("epoch", f"{CPU_EPOCH[0]}: E2E, a step of 256, s")


def _cpu_epoch() -> tuple[float, float]:
    label, items, samples = CPU_EPOCH
    costs = cpu_costs()
    encoder_s = items * MIND_TOKENS * (costs.forward_token_s + costs.token_s)
    measured_s = median("epoch", f"{label}: gram-1e, an epoch of {samples:,} samples, s")
    return encoder_s + samples * costs.filter_user_s, measured_s


def weak(task: Task, wires: Wires) -> list[Row]:
    """An epoch, users of a GPU fixed."""
    rows, first = [], Group.weak(task, wires, 1)
    for ranks in RANKS:
        group = Group.weak(task, wires, ranks)
        if group.users > task.samples:
            break
        rows.append({**_setting(group), **_epochs(group), **_efficiency(first, group), **_memory(group)})
    return rows


def _setting(group: Group) -> Row:
    task = group.task
    return {
        "GPUs": f"{group.ranks}",
        "global batch": f"{group.users:,}",
        "R of a GPU": f"{task.reuse(group.users / group.ranks):.2f}",
        "of all": f"{task.reuse(group.users):.2f}",
    }


def _epochs(group: Group) -> Row:
    """Seconds, and how many times as fast as e2e."""
    e2e_s = group.steps * group.e2e().total
    found = {"e2e": seconds(e2e_s)}
    for design in (LOCAL, TODAY, OVERLAP):
        own_s = group.steps * group.single_step(design).total
        found[f"gram-1s, {design.name}"] = f"{seconds(own_s)} ({e2e_s / own_s:.1f}×)"
    for design in (TODAY, GRAPHS, OVERLAP):
        own_s = group.multi_step(design).total
        found[f"gram-1e, {design.name}"] = f"{seconds(own_s)} ({e2e_s / own_s:.0f}×)"
    return found


def _efficiency(first: Group, group: Group) -> Row:
    """Seconds of one GPU over W times those of W."""

    def shares(design: Design) -> str:
        pairs = [
            (
                one.steps * one.e2e(design).total,
                one.steps * one.single_step(design).total,
                one.multi_step(design).total,
            )
            for one in (first, group)
        ]
        return " / ".join(f"{a / b / group.ranks:.0%}" for a, b in zip(*pairs, strict=True))

    return {f"efficiency of e2e / 1s / 1e, {design.name}": shares(design) for design in (TODAY, OVERLAP)}


def _memory(group: Group) -> Row:
    """Of the table on each GPU."""
    needed = group.table_bytes()
    return {"table": size(needed) + (" (does not fit)" if needed > group.wires.memory_bytes else "")}


def strong(task: Task) -> list[Row]:
    """The training of one GPU on more of them."""
    rows = []
    first = Group.strong(task, ONE_CARD_A_GPU, 1)
    for ranks in (ranks for ranks in RANKS if ranks <= task.users):
        group = Group.strong(task, ONE_CARD_A_GPU, ranks)
        row = {"GPUs": f"{ranks}"}
        for design in (TODAY, OVERLAP):
            for name, cost in (
                ("e2e, a step", Group.e2e),
                ("gram-1s, a step", Group.single_step),
                ("gram-1e, an epoch", Group.multi_step),
            ):
                own_s, one_s = cost(group, design).total, cost(first, design).total
                row[f"{name}, {design.name}"] = f"{seconds(own_s)} ({one_s / own_s:.1f}×)"
        rows.append(row)
    return rows


def received(task: Task) -> list[Row]:
    """Bytes that a GPU receives in a step, by kind."""
    rows = []
    for ranks in (2, 4, 8, 64, 512):
        group = Group.weak(task, ONE_CARD_A_GPU, ranks)
        traffic = Traffic(ranks, task.encoder, task.filter, task.width)
        needed = needed_bytes(ranks, group.own_distinct, task.width)
        rows.append(
            {
                "GPUs": f"{ranks}",
                "U of a GPU": f"{group.own_distinct:,.0f}",
                "U of all": f"{group.distinct:,.0f}",
                "gradients of both modules": size(traffic.e2e()),
                "of the filter": size(traffic.gradients(task.filter)),
                "vectors or the table's rows": size(needed),
                "∂L/∂h": size(needed),
                "both, if every rank received all rows (dense)": size(
                    dense_bytes(ranks, group.distinct, task.width)
                ),
            }
        )
    return rows
