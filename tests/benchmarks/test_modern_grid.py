"""The race of adaptations: rates chosen alike, costs beside full × gram-1s, a floor without rates."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from benchmarks import modern
from benchmarks.harness import Bench
from benchmarks.modern import CONTESTANTS, RATES, SEEDS, TUNED_ON, Trial


def test_each_contestant_has_its_own_rate_and_costs_are_over_the_reference(tmp_path: Path) -> None:
    result = Bench("modern", "as tested", folder=tmp_path)

    def trained(trial: Trial, epoch_s: float, aucs: list[float]) -> None:
        result.samples[f"{trial}: CPU s"] = tuple(epoch_s * (n + 1) for n in range(len(aucs)))
        result.samples[f"{trial}: validation AUC"] = tuple(aucs)

    wanted = {}
    for number, contestant in enumerate(CONTESTANTS):
        rates = modern._rates(contestant)
        wanted[contestant] = rates[number % len(rates)]
        for rate in rates:
            trained(
                Trial(*contestant, rate, TUNED_ON), 1.0, [0.5, 0.7 if rate == wanted[contestant] else 0.6]
            )
        for seed in SEEDS:
            epoch_s = 10.0 if contestant == modern.REFERENCE else 2.0
            aucs = [0.5, 0.55] if contestant == ("side", "gram-1s") and seed == 3 else [0.5, 0.6]
            trained(Trial(*contestant, wanted[contestant], seed), epoch_s, aucs)
    chosen = {contestant: modern.tuned(result, contestant) for contestant in CONTESTANTS}
    assert chosen == wanted
    assert set(wanted.values()) == set(RATES)
    assert modern._rates(("none", "gram-1s")) == RATES[:1]
    with redirect_stdout(io.StringIO()):
        modern.report(result, chosen)
    kept = json.loads(result.path.read_text())
    rows = {(row["adapt"], row["strategy"]): row for row in kept["rows"]}
    assert rows["full", "gram-1s"]["cost over full gram 1s"] == "1.00 1.00 1.00"
    assert rows["side", "gram-1s"]["cost over full gram 1s"] == "0.20 0.20 never"
    assert rows["side", "gram-1s"]["mean AUC"] == "0.5833"
    assert rows["full", "gram-1s"]["encoder rate"].endswith("(edge)")
    claim = next(claim for claim in kept["claims"] if claim["text"].startswith("full:"))
    assert claim["value"] == pytest.approx(0.2)
