"""gram-auto on generated news: training seconds to 99 % of the best validation AUC of gram-1s.

Claim: at most a sixth of those of gram-1s.

Data: `grambench data synth` with 3,000 news and 30,000 users, titles and the first words of the abstracts; a
2-layer 64-wide encoder from scratch. gram-1s trains until its validation AUC falls, for three epochs at most
(its fourth fell). All strategies have the same learning rates, and the table's optimiser is the default one.
Seconds are the trials' own training seconds (evaluation excluded), read on straight lines between the epochs'
validations.
"""

import sys

from benchmarks.convergence import race
from benchmarks.harness import Claim, bench, quiet_machine
from benchmarks.shapes import SMOKE, small_encoder
from benchmarks.trials import prepared, spec_of

SIZES = (
    "data.dataset=thirty-thousand-users",
    "data.synthetic.news=3000",
    "data.synthetic.users=30000",
    "data.synthetic.train_impressions=30000",
    "data.synthetic.dev_impressions=2000",
    "data.synthetic.topics=20",
    "data.fields.abstract=16",
    "filter.history=20",
    "training.batch_size=64",
)
SHARE = 0.99


def main() -> int:
    """Measure and print."""
    result, given = bench("adaptive", "gram-auto against gram-1s on generated news", width=64)
    quiet_machine()
    shape = small_encoder(given.width, 2, 4, 4000)
    sizes = SMOKE if result.smoke else SIZES
    limits = {"gram-1s": (1, 3), "gram-auto": (100, 12)}
    if result.smoke:
        limits = dict.fromkeys(limits, (1, 1))
    words = (*sizes, *shape, "filter.nrms.query=64", "encoder.pooling_query=64")
    specs = {
        name: spec_of("demo", *words, f"training.patience={patience}", f"training.epochs={epochs}")
        for name, (patience, epochs) in limits.items()
    }
    seconds = race(result, specs, prepared(specs["gram-1s"]), SHARE)
    text = f"gram-auto to {SHARE:.0%} of gram-1s's best validation AUC, training seconds over gram-1s's"
    result.claim(Claim(text, seconds["gram-auto"] / seconds["gram-1s"], 1 / 6, "at most", "×"))
    return result.finish()


if __name__ == "__main__":
    sys.exit(main())
