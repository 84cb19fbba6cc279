"""What a card drops when its line is short: parts, never the end of a word."""

from pathlib import Path

import pytest
from tui.logs import build
from tui.pictures import CUT

from grambench.events.disturbance import Disturbance
from grambench.events.reader import read_run
from grambench.events.state import TrialState
from grambench.tui.layout import Density, plan
from grambench.tui.line_parts import ends, shortened, styled
from grambench.tui.scene import Scene
from grambench.tui.widgets import card

WIDTHS = range(60, 201)
HEIGHTS = (20, 24, 45, 60)


class Long(card._Slots):
    """A card of the longest numbers."""

    def _epochs(self) -> str:
        return "100/100"

    def _clock(self) -> str:
        return "47:59:59"

    def _speedup(self) -> float:
        return 1234.0

    def _title(self) -> str:
        return "nDCG@10"


def _scene(state: str, folder: Path) -> Scene:
    build(state, folder)
    return Scene.of(read_run(folder), dark=True)


def _shapes(trials: int) -> set[tuple[Density, int]]:
    """Density and width of the cards on every screen."""
    shapes = set()
    for width in WIDTHS:
        for layout in (plan(width, height, trials, banner) for height in HEIGHTS for banner in (0, 3)):
            columns, line = layout.card_columns, layout.density == Density.LINE
            inner = (width - 2 - 2 * (columns - 1)) // columns if line else width // columns - 4
            shapes.add((layout.density, inner))
    return shapes


def _lines(slots: card._Slots, density: Density) -> list[str]:
    names = {
        Density.LINE: "one_line",
        Density.COMPACT: "compact",
        Density.NORMAL: "normal",
        Density.TALL: "tall",
    }
    return [line.plain for line in getattr(slots, names[density])()]


def _is_trouble(scene: Scene, trial: TrialState) -> bool:
    return scene.state_word(trial) in ("failed", "diverged", "stopped", "interrupted")


@pytest.mark.parametrize("slots", [card._Slots, Long])
@pytest.mark.parametrize("state", ["mid", "trouble", "eight"])
def test_no_word_is_cut_on_any_screen(
    state: str, slots: type[card._Slots], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = _scene(state, tmp_path / "run")
    marks = [Disturbance("x", "GPU shared 100%", ""), Disturbance("y", "CPU busy 42%", "")]
    monkeypatch.setattr(card, "disturbances", lambda trial: marks[: len(trial.name) % 3])
    for density, width in _shapes(len(scene.state.trials)):
        for trial in scene.state.trials.values():
            for line in _lines(slots(scene, trial, width), density):
                assert len(line.rstrip()) <= width
                assert not CUT.search(line), (density, width, line)
            if len(trial.name) % 3 and density != Density.LINE and not _is_trouble(scene, trial):
                assert any("! GPU shared" in line for line in _lines(slots(scene, trial, width), density))


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (26, "1.0× E2E  ! CPU busy 100%"),
        (22, "1.0×  ! CPU busy 100%"),
        (18, "1.0×    ! CPU busy"),
    ],
)
def test_a_compact_card_drops_e2e_before_the_share(width: int, shown: str) -> None:
    words = [(6, styled("! CPU busy")), (5, styled("100%"))]
    line = ends([(9, styled("1.0×")), (4, styled("E2E"))], words, width).plain
    assert " ".join(line.split()) == " ".join(shown.split())
    assert len(line) == width


def test_a_reason_is_cut_between_words() -> None:
    assert shortened("the loss is not finite", 12) == "the loss …"
    assert shortened("the loss", 8) == "the loss"
    assert shortened("x" * 30, 6) == "xxxx …"
