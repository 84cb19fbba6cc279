"""Every strategy trains as version 0.1 did: losses and weights of its own run, kept in float64.

`python tests/unit/training/test_trajectories.py FILE` in a checkout of version 0.1, without `as_of_0_1`,
wrote the file. Packed rows and steps over fixed shapes train so, too.
"""

import json
import sys
from pathlib import Path

import pytest
import tiny_systems
import torch
from tiny_systems import CPU, answer_sampler, encoder_spec, random_sequences, tiny_data, tiny_system

from grambench.config.kept import read_kept
from grambench.config.networks import Filter
from grambench.config.spec import Spec
from grambench.domains.training import make_sampler
from grambench.training.strategies import make_strategy
from grambench.training.system import build_system

KEPT = Path(__file__).parents[2] / "kept_runs" / "0.1" / "trajectories.json"
NEWS = (
    *("e2e", "e2e-unique", "gram-1s", "gram-3s", "gram-0.5e", "gram-1e", "gram-auto"),
    *("nofinetune", "nocontent", "crcf-1s", "crcf-1e", "speedyfeed"),
)
ANSWERS = ("e2e", "e2e-unique", "gram-1s", "gram-3s", "gram-1e", "gram-auto")
STEPS = 12
MULTI_STEP = {
    "table_optimizer": "adagrad",
    "auto_drift": 0.4,
    "encoder_batch": 7,
    "auto_floor": 2,
    "pull": 0.1,
}
"""As far as it matters, the table of a run folder of version 0.1, with its names."""


def as_of_0_1(spec: Spec) -> Spec:
    """The specification as version 0.1 wrote it, which had fewer tables, and as it is read today."""
    run = json.loads(next(KEPT.parent.glob("kept-*/run.json")).read_text())["spec"]
    tables = {name: value for name, value in spec.model_dump(mode="json").items() if name in run}
    for name, value in tables.items():
        if isinstance(value, dict):
            tables[name] = {key: setting for key, setting in value.items() if key in run[name]}
    shape = {**spec.filter.nrms.model_dump(), **spec.filter.lstm.model_dump(exclude={"masks"})}
    tables["filter"] = {**tables["filter"], **shape}
    return read_kept({**tables, "multi_step": MULTI_STEP, "speedyfeed": run["speedyfeed"]})


def trajectory(domain: str, name: str) -> dict[str, list[float]]:
    """Losses of the first steps, and the norm of every weight behind them."""
    driven = getattr(tiny_systems, "DRIVEN_AS_A_GPU", False)
    encoder = encoder_spec(layout="packed") if driven else encoder_spec()
    spec = as_of_0_1(Spec(encoder=encoder, filter=Filter(history=5, nrms={"heads": 4, "query": 8})))
    if domain == "news":
        data = tiny_data()
        system, modules = build_system(spec, data, CPU, seed=3, strategy=name, dtype=torch.float64)
        sampler = make_sampler(spec, data, CPU, seed=3, batch_size=6, epochs=4)
        parameters = [*modules.encoder.parameters(), *modules.filter.parameters()]
        if driven:
            system.use_fixed_shapes()
    else:
        tiny, sampler = tiny_system(domain="answers"), answer_sampler(random_sequences(), epochs=4)
        system, parameters = tiny.system, [*tiny.encoder.parameters(), *tiny.filter.parameters()]
    strategy = make_strategy(
        name,
        system,
        sampler,
        spec=spec,
        micro_batch=4,
        encoder_chunk=None,
        seed=3,
    )
    strategy.warm_up(sampler.batch(0))
    losses = [float(strategy.step(sampler.batch(step)).loss) for step in range(STEPS)]
    return {"losses": losses, "norms": [float(parameter.detach().norm()) for parameter in parameters]}


@pytest.mark.parametrize(
    ("domain", "name"), [("news", name) for name in NEWS] + [("answers", name) for name in ANSWERS]
)
def test_a_strategy_trains_as_it_did(domain: str, name: str) -> None:
    kept = json.loads(KEPT.read_text())[domain][name]
    found = trajectory(domain, name)
    assert found["losses"] == pytest.approx(kept["losses"], rel=1e-10)
    # a key's bias has no gradient: Adam makes steps of its rounding noise
    worst = sorted(abs(a - b) for a, b in zip(found["norms"], kept["norms"], strict=True))
    assert worst[-4] < 1e-9
    assert worst[-1] < 1e-2


DROPPED = {
    "e2e": (22.890425065696483, 14.340411492616068, 24.431076622803534, 23.665727790265446),
    "gram-1s": (22.99539185670716, 14.01871815539619, 24.178235940587495, 24.09977861450009),
    "gram-3s": (22.99539185670716, 14.020597307201161, 24.222713321409557, 24.32158413065482),
}
"""Losses of 0.1's code with dropout .3 in the LSTM."""


@pytest.mark.parametrize("name", DROPPED)
def test_torchs_masks_are_those_of_0_1(name: str) -> None:
    spec = as_of_0_1(Spec(encoder=encoder_spec(), data={"source": "tables"}))
    sampler, masks = answer_sampler(random_sequences(), epochs=2), spec.filter.lstm.masks
    system = tiny_system(domain="answers", lstm_dropout=0.3, masks=masks).system
    made = make_strategy(name, system, sampler, spec=Spec(), micro_batch=4, encoder_chunk=None, seed=3)
    torch.manual_seed(5)
    made.warm_up(sampler.batch(0))
    losses = [float(made.step(sampler.batch(step)).loss) for step in range(len(DROPPED[name]))]
    assert losses == pytest.approx(DROPPED[name], rel=1e-10)


if __name__ == "__main__":
    found = {
        "news": {name: trajectory("news", name) for name in NEWS},
        "answers": {name: trajectory("answers", name) for name in ANSWERS},
    }
    Path(sys.argv[1]).write_text(json.dumps(found) + "\n")
