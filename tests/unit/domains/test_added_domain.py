"""Adding a domain: a folder, a line of the registry, and the rows of its source, filter and metric."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from ratings_domain.training import LikedItems
from rich.console import Console
from tiny_systems import CPU, encoder_spec

from grambench.cli.data_tables import print_prepared, print_verification
from grambench.config import data as data_settings
from grambench.config import filters
from grambench.config.filters import FilterRow
from grambench.config.spec import Spec
from grambench.domains.prepared import Prepared, open_prepared
from grambench.domains.registry import PACKAGES, domain_of
from grambench.domains.training import interaction_bytes, make_evaluator, make_sampler
from grambench.events import types as ev
from grambench.metrics import catalogue
from grambench.metrics.binary import auc
from grambench.models.filters import FACTORIES
from grambench.training.audit import audit
from grambench.training.phases import System
from grambench.training.strategies import make_strategy
from grambench.training.system import Modules, build_system
from grambench.worker.prepare import prepare_data
from grambench.worker.warnings import data_warnings

ITEMS, USERS = 12, 30
TITLES = ("red fish", "blue fish", "old boat", "new boat", "red boat", "")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What docs/extending.md has a domain add."""
    monkeypatch.setenv("GRAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PACKAGES, "ratings", "ratings_domain")
    monkeypatch.setitem(data_settings.SOURCES, "ratings", "ratings")
    liked = FilterRow(kind="liked", meaning="the other liked items", domains=("ratings",))
    monkeypatch.setattr(filters, "ROWS", (*filters.ROWS, liked))
    monkeypatch.setitem(FACTORIES, "liked", lambda _spec, width: LikedItems(width))
    rows = [
        dataclasses.replace(row, domains=(*row.domains, "ratings")) if row.name == "auc" else row
        for row in catalogue.METRICS
    ]
    monkeypatch.setattr(catalogue, "METRICS", tuple(rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    titles = "".join(f"i{item}\t{TITLES[item % 6]} {'abc'[item % 3]}\n" for item in range(ITEMS - 1))
    (tmp_path / "items.tsv").write_text(f"id\ttitle\n{titles}i{ITEMS - 1}\t\n")
    rows = [
        f"u{user}\ti{item}\t{int(rng.random() < 0.5)}\n"
        for user in range(USERS)
        for item in rng.choice(ITEMS, int(rng.integers(2, 9)), replace=False)
    ]
    (tmp_path / "ratings.tsv").write_text(f"user\titem\tliked\n{''.join(rows)}")
    return tmp_path


def spec_of(folder: Path) -> Spec:
    data = {"source": "ratings", "dir": str(folder), "dataset": "mine", "validation_share": 0.2}
    training = {"strategies": ("e2e", "gram-1s", "gram-1e"), "batch_size": 5, "epochs": 2}
    return Spec(data=data, encoder=encoder_spec(), training=training)


class Trained(NamedTuple):
    system: System
    modules: Modules
    losses: list[float]


def trained(spec: Spec, data: Prepared, strategy: str) -> Trained:
    """After all epochs, in float64."""
    system, modules = build_system(spec, data, CPU, seed=0, strategy=strategy, dtype=torch.float64)
    if strategy != "e2e":
        system.use_fixed_shapes()  # as on a GPU
    sampler = make_sampler(spec, data, CPU, seed=0)
    step = make_strategy(strategy, system, sampler, spec=spec, micro_batch=2, encoder_chunk=3, seed=0).step
    losses = [float(step(sampler.batch(number)).loss) for number in range(sampler.total_steps)]
    return Trained(system, modules, losses)


def test_it_is_verified_and_prepared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = spec_of(folder)
    print_verification(domain_of("ratings").verify(folder, spec.data), Console())
    assert "users" in capsys.readouterr().out
    events: list[ev.Event] = []
    data = open_prepared(prepare_data(spec, events.append))
    (prepared,) = (event for event in events if isinstance(event, ev.DataPrepared))
    print_prepared(prepared, [], Console())
    assert "likes" in capsys.readouterr().out
    assert [len(part.liked_UL) for part in data.parts.values()] == [18, 6, 6]
    assert (data.manifest.domain, data.manifest.items.items) == ("ratings", ITEMS)
    assert data.manifest.parts["test"].counts.likes == np.count_nonzero(data.parts["test"].liked_UL == 1)
    assert {warned.code for warned in data_warnings(data.manifest)} == {"small-validation", "small-test"}


def test_every_strategy_trains_it_as_exactly_as_any_domain(folder: Path) -> None:
    spec = spec_of(folder)
    data = open_prepared(prepare_data(spec, lambda _: None))
    assert interaction_bytes(data) > data.parts["train"].rated_UL.nbytes
    found = audit(spec, data, CPU)
    assert found.equivalent
    assert max(found.encoder_relative, found.filter_relative) <= 1e-10
    e2e, single, multi = (trained(spec, data, strategy) for strategy in spec.training.strategies)
    assert single.losses == pytest.approx(e2e.losses, rel=0, abs=1e-10)
    for name, weight in e2e.modules.state_dict().items():
        assert torch.allclose(single.modules.state_dict()[name], weight, rtol=0, atol=1e-8), name
    assert multi.losses[0] == pytest.approx(e2e.losses[0], rel=0, abs=1e-10)
    assert multi.losses[-1] != pytest.approx(e2e.losses[-1], abs=1e-6)
    assert np.isfinite(multi.losses).all()


def test_its_evaluator_scores_every_rating_of_a_part(folder: Path) -> None:
    spec = spec_of(folder)
    data = open_prepared(prepare_data(spec, lambda _: None))
    made = trained(spec, data, "gram-1e")
    found = make_evaluator(spec, data, "test", CPU)(made.system.encode, made.modules.filter)
    with torch.no_grad():
        vectors = made.system.encode(np.arange(ITEMS)).numpy()
        weight, bias = (parameter.numpy() for parameter in made.modules.filter.parameters())
    part, labels, scores = data.parts["test"], [], []
    for rated, liked in zip(part.rated_UL, part.liked_UL, strict=True):
        for place in np.flatnonzero(liked >= 0):
            others = [item for at, item in enumerate(rated) if liked[at] == 1 and at != place]
            user = sum((weight @ vectors[item] + bias for item in others), np.zeros(len(bias)))
            labels.append(liked[place])
            scores.append(user @ vectors[rated[place]])
    assert found.impressions == len(labels)
    assert found.metrics == {"auc": pytest.approx(auc(np.array(labels), np.array(scores)), abs=1e-12)}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"filter": {"kind": "nrms"}}, "filter.kind = nrms is not a filter for ratings: use auto, liked"),
        ({"evaluation": {"select_by": "mrr"}}, "cannot select checkpoints for ratings: use auc"),
        ({"training": {"strategies": ("eernn",)}}, "but the data is ratings"),
        ({"data": {"source": "ratings", "protocol": "paper"}}, "news: ratings has no published part"),
    ],
)
def test_settings_of_other_domains_are_refused(tables: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Spec(**{"data": {"source": "ratings"}, "encoder": encoder_spec(), **tables})
