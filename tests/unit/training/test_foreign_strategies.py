"""Adding a strategy: a row, a factory and nothing else; its claim of equality is checked."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_packages import EXAMPLE, install, install_example
from tiny_systems import CPU, HEADS, LR, QUERY, encoder_spec, tiny_data

from grambench.config import plugins
from grambench.config.kept import read_kept
from grambench.config.networks import Filter
from grambench.config.optimizer import Optimizer
from grambench.config.spec import Audit, Spec, Training
from grambench.config.strategies import ROWS, StrategyRow, builtin_row, row_of, window_steps
from grambench.errors import ConfigError, ExitCode
from grambench.events.state import RunState
from grambench.reports.cautions import run_cautions
from grambench.runner.supervisor import exit_code
from grambench.training.audit import audit
from grambench.training.strategies import FACTORIES, factory_of
from grambench.worker.resume import identity

OFF = """
from grambench.config.strategies import StrategyRow
from grambench_halves.training import Halves

ROW = StrategyRow(name="gram-off", meaning="off by a factor", claims_equality=True, factory="off:make")

class Off(Halves):
    def gradients(self, batch):
        result = super().gradients(batch)
        for parameter in self.system.filter_optimizer.parameters:
            parameter.grad.mul_(1 + 1e-6)
        return result

def make(inputs):
    return Off(inputs.system)

FAR = StrategyRow(name="gram-far", meaning="no OneStep", claims_equality=True, factory="off:far")

def far(inputs):
    return object()

LOST = StrategyRow(name="gram-lost", meaning="no code", factory="off:nowhere")
NEWS = StrategyRow(name="gram-news", meaning="for news", domains=("news",), factory="off:make")
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the example and with `off.py`."""
    (tmp_path / "off.py").write_text(OFF)
    install_example(tmp_path)
    entries = {"gram-off": "off:ROW", "gram-far": "off:FAR", "gram-lost": "off:LOST", "gram-news": "off:NEWS"}
    install(tmp_path, "off-by-a-little", "0.3", {**entries, "gram-named": "off:ROW", "Gram-X": "off:ROW"})
    for folder in (tmp_path, EXAMPLE):
        monkeypatch.syspath_prepend(str(folder))
    plugins.plugin_row.cache_clear()
    yield tmp_path
    plugins.plugin_row.cache_clear()
    sys.modules.pop("off", None)


def spec_of(*strategies: str) -> Spec:
    return Spec(
        encoder=encoder_spec(),
        filter=Filter(history=5, nrms={"heads": HEADS, "query": QUERY}),
        encoder_optimizer=Optimizer(lr=LR),
        training=Training(strategies=strategies, negatives=3, batch_size=6),
        audit=Audit(users=8),
    )


def test_every_row_has_a_factory_and_every_factory_a_row() -> None:
    assert set(FACTORIES) == {row.name for row in ROWS}
    assert all(row.meaning and not row.package for row in ROWS)


@pytest.mark.usefixtures("site")
def test_an_entry_point_is_all_that_a_strategy_needs() -> None:
    row = row_of("gram-halves")
    assert builtin_row("gram-halves") is None
    assert (row.package, window_steps("gram-halves", 50)) == ("grambench-halves 0.1", 1)
    assert spec_of("e2e", "gram-halves").training.strategies == ("e2e", "gram-halves")
    assert factory_of(row).networks is FACTORIES["e2e"].networks


@pytest.mark.usefixtures("site")
def test_a_checkpoint_knows_the_version_of_the_plugin() -> None:
    assert identity(spec_of("e2e", "gram-halves"), "f", CPU)["plugins"] == {
        "gram-halves": "grambench-halves 0.1"
    }
    assert "plugins" not in identity(spec_of("e2e"), "f", CPU)


@pytest.mark.usefixtures("site")
def test_a_claim_of_equality_is_audited() -> None:
    found = audit(spec_of("gram-halves", "gram-off"), tiny_data(), CPU)
    halves, off = found.plugins
    assert found.equivalent
    assert halves["equivalent"]
    assert max(halves["encoder_relative"], halves["filter_relative"]) <= 1e-10
    assert found.unequal == ["gram-off"]
    assert off["filter_relative"] == pytest.approx(1e-6, rel=1e-2)
    assert off["package"] == "off-by-a-little 0.3"
    state = RunState()
    state.setup.audit, state.setup.outcome = found, "completed"
    assert exit_code(state) == ExitCode.NOT_EQUIVALENT
    assert [caution.code for caution in run_cautions(state)] == ["audit-failed-gram-off"]


@pytest.mark.usefixtures("site")
def test_what_cannot_be_audited_or_made_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gram-far of the plug-in off-by-a-little 0.3 claims the update"):
        audit(spec_of("gram-far"), tiny_data(), CPU)
    with pytest.raises(ConfigError, match=r"off:nowhere of the plug-in off-by-a-little 0.3 cannot be loaded"):
        factory_of(row_of("gram-lost"))


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gram-named", "off-by-a-little 0.3 is broken: off:ROW is not a StrategyRow of this name"),
        ("Gram-X", "has a name that is not 1 to 40 lower-case letters"),
        ("gram-none", "unknown strategy 'gram-none'.*from plug-ins Gram-X, gram-far, gram-halves"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_in_one_sentence(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        row_of(name)


def test_two_packages_with_one_strategy_are_refused(site: Path) -> None:
    install(site, "other-halves", "7", {"gram-halves": "grambench_halves:ROW"})
    with pytest.raises(ValueError, match=r"is in .*grambench-halves 0.1.*; uninstall all but one"):
        row_of("gram-halves")


@pytest.mark.usefixtures("site")
def test_a_plugin_of_another_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="gram-news is a system for news"):
        Spec.model_validate({"data": {"source": "tables"}, "training": {"strategies": ("gram-news",)}})


def test_no_name_of_grambench_is_looked_for_in_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: object, **__: object) -> StrategyRow:
        raise AssertionError("entry points were read")

    monkeypatch.setattr(plugins, "entry_points", looked)
    names = ("e2e", "gram-1s", "gram-7s", "gram-.5e", "gram-auto", "nocontent")
    assert spec_of(*names).training.strategies == names


def test_a_run_whose_plugin_is_gone_says_so() -> None:
    written = spec_of("e2e").model_dump(mode="json")
    written["training"]["strategies"] = ["gram-halves"]
    with pytest.raises(ConfigError, match=r"cannot be resumed: unknown strategy 'gram-halves'.*Install the"):
        read_kept(written)
