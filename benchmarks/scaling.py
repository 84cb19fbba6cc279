"""How training scales: a cost model of W GPUs from committed measurements, and what feeds it.

`python -m benchmarks.scaling` prints the predictions; `--page` writes them into `docs/scaling.md`.
`--measure law` counts distinct items of batches (generated data, and real rows where `../shared/data` has
them), `--measure ranks` trains on ranks in processes of their own: on gloo and two CPU cores here, and with
`--device cuda --ranks 1,2,4,8` on NCCL, which nobody has run.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch

from benchmarks import page
from benchmarks.gpu_sizes import FULL, SMOKE, mind_spec
from benchmarks.harness import HERE, Bench, Claim, Sample, quiet_machine, short
from benchmarks.scaling_inputs import counted
from benchmarks.scaling_law import Counted, counted_in_rows, counted_in_sampler
from benchmarks.scaling_ranks import STRATEGIES, Case, Measured, Plan, Scaling, measure, planned
from benchmarks.scaling_tables import everything, size
from benchmarks.trials import data_folder, prepared, sampler_of
from grambench.domains.training import TrainSampler

PAGE = HERE.parent / "docs" / "scaling.md"
SIZES = (8, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384, 65_536)
ROWS = {"mind-sample": ("behaviors.tsv", 51_282), "goodreads": ("train/behaviors.tsv", None)}
"""Real rows: a file in MIND's format, and the items of the catalogue if it is only a sample."""
PLANNED = 8, 64
"""Ranks whose exchange is planned, in one process."""
SMOKE_OVERRIDES = (
    "data.synthetic.news=120",
    "data.synthetic.users=60",
    "data.synthetic.train_impressions=80",
    "data.synthetic.dev_impressions=20",
)


def main() -> int:
    """Predict, or measure what predictions need."""
    given = _options()
    if given.smoke:
        return max(_law(True), _ranks(given, True))
    if given.measure == "law":
        return _law(False)
    if given.measure == "ranks":
        return _ranks(given, False)
    results = tables()
    print(results)
    if given.page:
        PAGE.write_text(page.written(PAGE.read_text(), results))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: run every line, claim nothing")
    parser.add_argument("--page", action="store_true", help="write the tables of docs/scaling.md")
    parser.add_argument("--measure", choices=("law", "ranks"), help="measure instead of predicting")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of --measure ranks")
    parser.add_argument("--ranks", default="1,2,3", help="numbers of ranks to measure; 1 always is")
    parser.add_argument("--rounds", type=int, default=3, help="of --measure ranks")
    given = parser.parse_args()
    try:
        given.ranks = tuple(sorted({1, *map(int, given.ranks.split(","))}))
    except ValueError:
        parser.error(f"--ranks {given.ranks}: write numbers with commas between them, such as 1,2,4")
    if given.device == "cuda" and given.ranks[-1] > (gpus := torch.cuda.device_count()):
        parser.error(f"--ranks: {given.ranks[-1]} ranks need as many GPUs; this machine has {gpus}")
    return given


def tables() -> str:
    """All predictions as Markdown."""
    return "\n\n".join(f"### {title}\n\n{page.markdown(rows)}" for title, rows in everything())


# --- U(B) -----------------------------------------------------------------------------------------


def _law(smoke: bool) -> int:
    result = Bench("scaling_law", "Distinct items of a batch", smoke=smoke)
    result.command = "python -m benchmarks.scaling --measure law"
    for name, data in _data(smoke):
        law = data.law()
        users, distinct = zip(*data.distinct.items(), strict=True)
        result.facts[name] = {
            "items": data.items,
            "samples": data.samples,
            "items a sample": round(data.occurrences, 4),
        }
        result.samples[f"{name}: users"] = users
        result.samples[f"{name}: distinct items"] = tuple(round(found, 1) for found in distinct)
        result.row(
            data=name,
            samples=f"{data.samples:,}",
            items=f"{data.items:,}",
            items_a_sample=f"{data.occurrences:.2f}",
            s=f"{law.s:g}",
            q=f"{law.q:g}",
            error_of_log_U=f"{data.error():.3f}",
        )
    return result.finish()


def _data(smoke: bool) -> Iterator[tuple[str, Counted]]:
    sizes = (8, 32) if smoke else SIZES
    spec = mind_spec(SMOKE if smoke else FULL)
    data = prepared(spec)

    def sampler(users: int) -> TrainSampler:
        training = spec.training.model_copy(update={"batch_size": users})
        return sampler_of(spec.model_copy(update={"training": training}), data)

    yield "generated", counted_in_sampler(sampler, sizes)
    for name, (file, items) in {} if smoke else ROWS.items():
        path = data_folder(name) / file
        if path.exists():
            yield name, counted_in_rows(path, sizes, items)
        else:
            print(f"{name}: not counted again, {path} does not exist", file=sys.stderr)
            yield name, counted(name)


# --- ranks ----------------------------------------------------------------------------------------


def _ranks(given: argparse.Namespace, smoke: bool) -> int:
    numbers = (1, 2) if smoke else given.ranks
    result = Bench(
        "scaling_ranks" if given.device == "cpu" else "scaling_ranks_cuda",
        "Ranks: bytes received, and waiting",
        device=given.device,
        smoke=smoke,
    )
    result.command = "python -m benchmarks.scaling --measure ranks"
    if given.device == "cuda":
        result.command += f" --device cuda --ranks {','.join(map(str, numbers))}"
    quiet_machine()
    scalings: tuple[Scaling, ...] = ("weak",) if smoke else ("weak", "strong")
    every = (Case(*each) for each in product(STRATEGIES, scalings, numbers))
    cases = tuple(case for case in every if case.ranks > 1 or case.scaling == "weak")
    plan = Plan(cases, given.device)
    plan = replace(plan, overrides=SMOKE_OVERRIDES, users=16, steps=2) if smoke else plan
    rounds = [measure(plan) for _ in range(1 if smoke else given.rounds)]
    wrong = 0
    for case in cases:
        alone = Case(case.strategy, "weak", 1)
        wrong += _report(result, case, [found[case] for found in rounds], [found[alone] for found in rounds])
    result.facts |= {"users of one rank": plan.users, "rounds": len(rounds), "preset": "demo"}
    for size_ in PLANNED:
        _planned(result, size_, smoke)
    result.claim(Claim("ranks whose received bytes are not those of the formulas", wrong, 0, "at most"))
    return result.finish()


def _planned(result: Bench, ranks: int, smoke: bool) -> None:
    """The host's plan of an exchange, at MIND-small's size."""
    found = planned(mind_spec(SMOKE if smoke else FULL), ranks)
    plans_s = {"by tokens": found.by_tokens_s, "by id": found.by_id_s}
    for owners, plan_s in plans_s.items():
        result.samples[f"plan, {ranks} ranks: {owners}, s an item"] = (plan_s / found.rows,)
    in_ms = {f"{owners}, ms": short(1e3 * plan_s) for owners, plan_s in plans_s.items()}
    result.facts[f"plan of a step on {ranks} ranks"] = {"items read": found.rows, **in_ms}


def _report(result: Bench, case: Case, rounds: list[list[Measured]], alone: list[list[Measured]]) -> int:
    """A row; how many ranks have received other bytes than the formulas say."""
    last = rounds[-1]
    rate = Sample(tuple(ranks[0].samples / _seconds(ranks) for ranks in rounds))
    one = Sample(tuple(ranks[0].samples / _seconds(ranks) for ranks in alone))
    waited = [sum(r.waited_s for r in ranks) / sum(r.seconds for r in ranks) for ranks in rounds]
    result.samples[f"{case.label}, samples/s"] = rate.values
    result.samples[f"{case.label}, share waited"] = tuple(waited)
    wrong = [r for ranks in rounds for r in ranks if r.received_bytes != r.expected_bytes]
    result.row(
        strategy=case.strategy,
        scaling="" if case.ranks == 1 else case.scaling,
        ranks=case.ranks,
        steps=last[0].steps,
        samples_a_second=rate,
        times_one_rank=short(rate.over(one).median),
        waited=f"{100 * Sample(tuple(waited)).median:.0f} %" if result.device == "cpu" else "not measured",
        items_encoded_by_all=f"{sum(r.items_encoded for r in last):,}",
        received_a_step=size(sum(r.received_bytes for r in last) / sum(r.steps for r in last)),
        by_the_formulas="the same" if not wrong else f"{size(wrong[0].expected_bytes)}: WRONG",
    )
    return len(wrong)


def _seconds(ranks: list[Measured]) -> float:
    return max(rank.seconds for rank in ranks)


if __name__ == "__main__":
    sys.exit(main())
