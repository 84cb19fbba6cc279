"""Simulated noise for `benchmarks.inference`: of machines, processes, seeds, users. Every draw has a seed."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATIO = 8.0
"""True ratio of the costs in a race."""
MACHINE = (
    "independent, 1 %",
    "machine wanders 5 %, AR .9",
    "machine warms up, 10 % slower over 40 turns",
    "steady drift of 30 %",
    "bursts ×1.5 on both",
    "heavy tails, t(2.5) × 2 %",
    "skewed hiccups, lognormal",
)
"""Noise of the machine or of single turns, which a race must stand."""
OWN = {
    "bursts: candidate ×1.5, reference ×1.2": (0.580, 0.770),
    "own drift of 2 % each, AR .8": (0.892, 0.829),
    "own drift of 2 % each, AR .98": (0.337, 0.152),
}
"""Noise of one strategy -> what the anytime t interval and median were first found to cover: known limits."""


def autoregressive(rng: np.random.Generator, draws: int, n: int, rho: float, sd: float) -> Floats:
    """[draws, n] stationary AR(1) of a given standard deviation."""
    steps = rng.normal(size=(draws, n)) * sd * math.sqrt(1 - rho**2)
    steps[:, 0] /= math.sqrt(1 - rho**2)
    for i in range(1, n):
        steps[:, i] += rho * steps[:, i - 1]
    return steps


def bursts(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """[draws, n] share of each turn in which a foreign process runs: it starts with 3 %, stays with 80 %."""
    on, level = np.zeros(draws, bool), np.zeros((draws, n))
    for i in range(n):
        begins, ends = rng.random(draws) < 0.03, rng.random(draws) > 0.8
        part = np.where((on & ends) | (~on & begins), rng.random(draws), 1.0)
        level[:, i] = (on | begins) * part
        on = np.where(on, ~ends, begins)
    return level


def race(kind: str, draws: int, rounds: int) -> tuple[Floats, Floats]:
    """[draws, rounds] log costs of candidate and reference, which has the first turn of each round."""
    rng, n = np.random.default_rng(1), 2 * rounds
    noise, common = 0.01 * rng.normal(size=(draws, n)), np.zeros((draws, n))
    if kind.startswith("machine wanders"):
        common = autoregressive(rng, draws, n, 0.9, 0.05)
    elif kind.startswith("machine warms up"):
        common += 0.1 * (1 - np.exp(-np.arange(n) / 40))
    elif kind.startswith("steady drift"):
        common += 0.3 * np.arange(n) / n
    elif kind.startswith("bursts"):
        common = math.log(1.5) * bursts(rng, draws, n)
        if "candidate" in kind:
            common[:, 0::2] *= math.log(1.2) / math.log(1.5)
    elif kind.startswith("heavy"):
        noise = 0.02 * rng.standard_t(2.5, size=(draws, n))
    elif kind.startswith("skewed"):
        noise = 0.01 * np.exp(rng.normal(size=(draws, n)))
    elif kind.startswith("own drift"):
        for side in (0, 1):
            noise[:, side::2] += autoregressive(rng, draws, rounds, 0.98 if ".98" in kind else 0.8, 0.02)
    cost = common + noise
    return cost[:, 1::2] - math.log(RATIO), cost[:, 0::2]


def differences(kind: str, draws: int, n: int, seed: int = 10) -> Floats:
    """[draws, n] paired differences over seeds, of mean 0 and standard deviation 1."""
    rng, shape = np.random.default_rng(seed), (draws, n)
    if kind == "normal":
        return rng.normal(size=shape)
    if kind == "t(3)":
        return rng.standard_t(3, shape) / math.sqrt(3)
    if kind == "two clumps":
        return np.where(rng.random(shape) < 0.5, 1.0, -1.0) + 0.2 * rng.normal(size=shape)
    return rng.exponential(size=shape) - 1


def processes(rng: np.random.Generator, offset: float, *shape: int) -> Floats:
    """[…, 10] log costs of ten epochs of processes, 1 % between epochs, offsets between processes."""
    return offset * rng.normal(size=(*shape, 1)) + 0.01 * rng.normal(size=(*shape, 10))


def impressions(rng: np.random.Generator, user_effect: float) -> tuple[Floats, NDArray[np.int64]]:
    """Differences of AUC of the impressions of 400 users around 0, and their users."""
    sizes = np.minimum(60, np.ceil(rng.lognormal(1.0, 0.9, 400))).astype(int)
    users = np.repeat(np.arange(400), sizes)
    return user_effect * rng.normal(size=400)[users] + 0.25 * rng.normal(size=len(users)), users


def answers(
    rng: np.random.Generator, count: int
) -> tuple[Floats, Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Scores of two equally good models, labels and students of the answers of `count` students."""
    sizes = np.minimum(100, np.ceil(rng.lognormal(2.5, 0.7, count))).astype(int)
    students = np.repeat(np.arange(count), sizes)
    logits = rng.normal(size=count)[students] + rng.normal(size=len(students))
    labels = (rng.random(len(students)) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    first, second = (
        logits + 0.6 * rng.normal(size=count)[students] + 0.5 * rng.normal(size=len(students)) for _ in "ab"
    )
    return first, second, labels, students
