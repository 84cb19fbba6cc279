"""The paper's headline: samples/s of gram-1e over a whole epoch against e2e, on data of TOEIC's shape.

Claims: (1) gram-1e trains at least 100 times the samples per second of e2e over a whole epoch; (2) the ratio
predicted from the parts, each measured alone, is within 25 % of that; (3) the ratio predicted at TOEIC's own
size, 9,336 items and 94 million answers, is at least the paper's 146 (Table 4: to the best epoch, 6 layers,
768 wide), with this encoder and with one of 6 layers and 384 wide.

Why 100: a token costs the encoder the products of 24 D² weights (2 layers), an answer costs the LSTM and its
input those of 17 D². With 148 tokens an item, a step of e2e is 208 times a CF step: the ceiling. An epoch
encodes every item once without a graph and once with one, shared by the item's answers, 2,667 in the mean:
208 / (1 + 208 · 4/3 / 2,667) = 188. About half of that leaves room for what is no matrix product. On a GPU,
whose CF step waits for its kernels to be launched, the bound is 50, with the paper's encoder.

Data: 1,500 exercises of 148 tokens (32 to 260), 40,000 students of 100 answers, skewed popularity (900 to
11,000 answers to an exercise); generated, written as plain tables and read as any user's
(`data.source = "tables"`). Settings: the preset `ednet` with an encoder from scratch; batches of 32
sequences, an LSTM of 2 layers as wide as the encoder.

The epoch of gram-1e is trained whole. One of e2e would take half a day, so e2e is probed on steps of the same
data, half of them before that epoch and half after; so are the parts (`epoch_parts`).

Takes about ten minutes on two CPU cores, which is why `make bench` leaves it to `make bench-long`.
`--device cuda` measures on a GPU and leaves the CPU's results alone.
"""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_lab import bf16, chosen_device
from benchmarks.harness import Claim, Sample, bench, quiet_machine, short
from benchmarks.toeic_lab import (
    BATCH,
    CUDA,
    FULL,
    PROBES,
    SMOKE,
    Lab,
    Measured,
    Probes,
    Shape,
    parts_of,
    train,
)
from benchmarks.toeic_prediction import H100, TOEIC, Costs, Prediction, Size, predict
from benchmarks.toeic_tables import write_tables
from benchmarks.trials import prepared
from grambench.domains.prepared import Prepared

TITLE = "gram-1e against E2E on data of TOEIC's shape"
PAPER, WITHIN = 146.0, 0.25
NO_GPU = 4


def measure(lab: Lab, data: Prepared) -> None:
    """The epoch beside e2e, the parts, the predictions."""
    shape = lab.sizes.encoder
    spec = lab.spec(shape)
    describe(lab, data)
    probes = Probes(parts_of(lab, spec, data)).warm_up()
    found = train(lab, spec, data, probes)
    report_epoch(lab, found)
    costs = probes.report(lab, shape)
    cf_s = costs.cf_step_s * probes.parts.steps
    ceiling = found.e2e_step.median / costs.cf_step_s
    samples = found.epoch.trial.sampler.samples
    what = "CF alone, the same epoch: the ceiling"
    lab.row(shape, what, Sample((cf_s,)), samples / cf_s, short(ceiling))
    text = f"{shape}: gram-1e against E2E, samples/s over a whole epoch"
    note = f"{found.ratio} by the steps of E2E; the CF alone would have {short(ceiling)}×"
    lab.result.claim(Claim(text, found.ratio.median, lab.sizes.target, "at least", "×", note))
    claim_prediction(lab, costs, found)
    claim_at_toeic(lab, shape, costs)
    for larger in lab.sizes.larger:
        alone = Probes(parts_of(lab, lab.spec(larger), data)).warm_up()
        alone.measure(PROBES)
        claim_at_toeic(lab, larger, alone.report(lab, larger))
    cap_by_cf_step(lab)


def describe(lab: Lab, data: Prepared) -> None:
    """The tables in numbers."""
    answers_I = np.bincount(data.parts["train"].items, minlength=len(data.token_offsets) - 1)
    lab.result.facts |= {
        "items": len(answers_I),
        "tokens_an_item": round(data.manifest.items.mean_length, 2),
        "tokens_of_the_longest": data.manifest.items.max_length,
        "answers": int(answers_I.sum()),
        "answers_to_an_item": {"least": int(answers_I.min()), "most": int(answers_I.max())},
        "batch": BATCH,
        "sequence": lab.sizes.tables.answers,
        "precision": "bf16 autocast" if bf16(lab.device) else "fp32",
    }


def report_epoch(lab: Lab, found: Measured) -> None:
    """Rows, samples and facts of what was trained.

    Raises:
        ArithmeticError: a loss was not finite, so that the optimisers were held back: no epoch was trained.
    """
    shape, sampler, (window,) = lab.sizes.encoder, found.epoch.trial.sampler, found.epoch.windows
    steps, samples = sampler.steps_per_epoch, sampler.samples
    losses = torch.stack(found.epoch.losses).cpu() * steps / window.occurrences
    if not losses.isfinite().all():
        raise ArithmeticError("the loss of gram-1e is not finite: these seconds are not those of training")
    ((opening_s, between_s, closing_s),) = found.epoch.parts
    lab.row(shape, f"E2E, a step of {BATCH} sequences", found.e2e_step, BATCH / found.e2e_step.median, "1")
    whole = f"gram-1e, an epoch of {samples:,} sequences"
    lab.row(shape, whole, Sample((found.epoch_s,)), samples / found.epoch_s, found.ratio)
    lab.row(shape, "its opening, a CF step included", Sample((opening_s,)))
    lab.row(shape, f"its {steps - 2:,} other CF steps", Sample((between_s,)))
    lab.row(shape, "its closing, a CF step included", Sample((closing_s,)))
    lab.result.samples |= {
        f"{shape}: E2E, a step, s": found.e2e_step.values,
        f"{shape}: gram-1e, an epoch, s": (found.epoch_s,),
        f"{shape}: gram-1e, opening, CF steps and closing, s": (opening_s, between_s, closing_s),
    }
    tenth = max(1, steps // 10)
    lab.result.facts |= {
        "R_of_the_epoch": round(window.occurrences / window.unique_items, 1),
        "drift": round(float(window.drift), 3),
        "loss_an_answer": {
            "first tenth": round(float(losses[:tenth].mean()), 4),
            "last tenth": round(float(losses[-tenth:].mean()), 4),
        },
    }


def claim_prediction(lab: Lab, costs: Costs, found: Measured) -> None:
    """The prediction at the measured size against what was measured there."""
    shape, (window,) = lab.sizes.encoder, found.epoch.windows
    size = Size(window.unique_items, window.occurrences, lab.sizes.tables.answers, BATCH)
    predicted = predict(costs, size)
    lab.result.facts["predicted size"] = asdict(size)
    what = "gram-1e, predicted from the parts at this size"
    lab.row(shape, what, Sample((predicted.gram_s,)), times=short(predicted.ratio))
    measured, epoch_s = found.ratio.median, found.epoch_s
    error = predicted.ratio / measured - 1
    note = (
        f"predicted {predicted.ratio:.1f}×, measured {measured:.1f}× ({error:+.1%}); the epoch of gram-1e"
        f" {predicted.gram_s:.4g} s, measured {epoch_s:.4g} s ({predicted.gram_s / epoch_s - 1:+.1%})"
    )
    text = f"{shape}: distance of the predicted ratio from the measured one"
    lab.result.claim(Claim(text, abs(error), WITHIN, "at most", note=note))


def claim_at_toeic(lab: Lab, shape: Shape, costs: Costs) -> None:
    """The prediction at TOEIC's own size."""
    predicted = predict(costs, TOEIC)
    what = f"gram-1e, predicted at TOEIC's size: {TOEIC.items:,} items, {TOEIC.answers:,} answers"
    lab.row(shape, what, Sample((predicted.gram_s,)), times=short(predicted.ratio))
    note = f"{_seconds(predicted)}; the CF alone would have {short(predicted.ceiling)}×"
    text = f"{shape}: predicted at TOEIC's size, gram-1e against E2E"
    lab.result.claim(Claim(text, predicted.ratio, PAPER, "at least", "×", note))


def cap_by_cf_step(lab: Lab) -> None:
    """What a CF step of 5 ms leaves of the ratio on a GPU: arithmetic, nothing is measured here."""
    predicted = predict(H100, TOEIC)
    what = f"predicted at TOEIC's size with a CF step of {1e3 * H100.cf_step_s:.0f} ms"
    lab.row("6 layers, 768 wide, an H100", what, Sample((predicted.gram_s,)), times=short(predicted.ratio))
    lab.result.facts["inputs of the prediction, an H100"] = {
        name: float(f"{value:.4g}") for name, value in asdict(H100).items()
    }
    lab.result.facts["ceiling of an H100"] = f"{short(predicted.ceiling)}×"


def _seconds(predicted: Prediction) -> str:
    opening, cf, closing = (short(s) for s in (predicted.opening_s, predicted.cf_s, predicted.closing_s))
    whole = f"gram-1e {short(predicted.gram_s)} s, E2E {short(predicted.e2e_s)} s an epoch"
    return f"{whole}; opening {opening}, CF steps {cf}, closing {closing} s"


def main() -> int:
    """Measure and print."""
    result, given = bench("toeic", TITLE, device="cpu")
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no CUDA device", file=sys.stderr)
        return NO_GPU
    device, sizes = chosen_device(given.device), FULL
    if device.type == "cuda":
        sizes, result.device = CUDA, f"gpu: {torch.cuda.get_device_name(device)}"
        result.name, result.command = "toeic_cuda", "python -m benchmarks.toeic --device cuda"
    quiet_machine()
    with tempfile.TemporaryDirectory(prefix="grambench-toeic-") as scratch:
        lab = Lab(result, SMOKE if result.smoke else sizes, device, Path(scratch) / "tables")
        write_tables(lab.sizes.tables, lab.folder)
        measure(lab, prepared(lab.spec(lab.sizes.encoder)))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
