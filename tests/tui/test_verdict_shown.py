"""Where a run says what it found: below the race at its end, and on a screen of its own at any time."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui.logs import COURSES, Recorder, build, trial

from grambench.events import types as ev
from grambench.events.reader import read_run
from grambench.events.rounds import Round
from grambench.events.state import RunState
from grambench.reports.verdict import verdict_of
from grambench.tui.app import Dashboard
from grambench.tui.banner import verdict_rows
from grambench.tui.detail_text import verdict_text
from grambench.tui.scene import Scene
from grambench.tui.screens.detail import VerdictScreen
from grambench.tui.widgets.board import leaderboard
from grambench.tui.widgets.header import last_look


async def drawn(pilot: Pilot[str | None]) -> None:
    for _ in range(4):
        await pilot.pause()


@pytest.fixture(scope="module")
def scene_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scene]:
    """The scene of a state of `tests/tui/logs.py`, with its verdict."""

    @cache
    def scene(name: str) -> Scene:
        folder = build(name, tmp_path_factory.mktemp(name))
        state = read_run(folder)
        return replace(Scene.of(state, dark=True), verdict=verdict_of(state, folder))

    return scene


@pytest.mark.parametrize("width", [38, 58, 78, 158])
@pytest.mark.parametrize("name", ["finished", "six"])
def test_the_first_sentence_stands_below_the_race_in_few_rows(
    scene_of: Callable[[str], Scene], name: str, width: int
) -> None:
    scene = scene_of(name)
    assert scene.verdict is not None
    rows = [row.plain for row in verdict_rows(scene, width)]
    assert len(rows) <= (2 if width > 70 else 3)
    assert all(len(row) <= width for row in rows)
    sentence = scene.verdict.compared[0].sentence
    said = " ".join(row[2:].strip() for row in rows)
    assert said == sentence or (width == 38 and said.endswith(" …") and sentence.startswith(said[:-2]))
    assert rows[0].startswith("✓" if name == "six" else "?")


@pytest.mark.parametrize("width", [38, 78, 158])
def test_who_won_stands_there_where_labels_have_settings_of_their_own(
    scene_of: Callable[[str], Scene], width: int
) -> None:
    scene = scene_of("finished")
    first = scene.state.trials["e2e.s0"]
    assert first.plan is not None
    own = {first.name: replace(first, plan=replace(first.plan, settings={"encoder.adapt": "freeze"}))}
    contest = replace(scene, state=replace(scene.state, trials={**scene.state.trials, **own}))
    rows = [row.plain for row in verdict_rows(contest, width)]
    assert rows[0].startswith("● Best by test AUC: e2e, 0.")
    assert len(rows) <= 3
    assert all(len(row) <= width for row in rows)
    if width == 158:
        assert rows[0].endswith("(1 seed). Not told apart from it: gram-1s, gram-1e.")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "finished",
            [
                "● Best by test AUC: e2e, 0.",
                "gram-1s  undecided  not tuned",
                "One seed decides nothing: run --seeds 0..5.",
            ],
        ),
        (
            "six",
            ["gram-1s  pays", "gram-1e  does not pay", "self-grade", "15 of 19 marks", "tuned  The least"],
        ),
        ("mid", ["gram-1s  undecided", "e2e", "AUC was not compared"]),
        ("first", ["Nothing can be compared yet"]),
    ],
)
def test_the_screen_says_what_has_ended_says(
    scene_of: Callable[[str], Scene], name: str, parts: list[str]
) -> None:
    lines = verdict_text(scene_of(name), 78).plain.splitlines()
    text = " ".join(line.strip() for line in lines)
    for part in parts:
        assert part in text
    assert max(map(len, lines)) <= 78
    assert ("gram-1e" in text) == (name in ("finished", "six"))


async def test_a_run_that_goes_on_is_judged_when_a_trial_ends_and_someone_looks(tmp_path: Path) -> None:
    app = Dashboard(build("mid", tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert app.scene.verdict is None
        await pilot.press("V")
        await drawn(pilot)
        assert isinstance(app.screen, VerdictScreen)
        before = app.scene.verdict
        assert before is not None
        assert [each.comparison.candidate for each in before.compared] == ["gram-1s"]
        app.redraw()
        assert app.scene.verdict is before
        again = Recorder(tmp_path, now=1000.0, seqs={"gram-1e.s0": 10_000, "": 10_000})
        trial(again, COURSES["gram-1e"], epochs=0)
        app._poll()
        app.redraw()
        assert app.scene.verdict is not before
        await pilot.press("escape")
        await drawn(pilot)
        app.redraw()
        assert app.scene.verdict is None


async def test_the_footer_offers_the_verdict_in_place_of_the_pause(tmp_path: Path) -> None:
    for name, offered in (("finished", True), ("mid", False)):
        app = Dashboard(build(name, tmp_path / name))
        async with app.run_test(size=(80, 24)) as pilot:
            await drawn(pilot)
            shown = {b.binding.description for b in app.screen.active_bindings.values() if b.binding.show}
            assert ("verdict" in shown, "pause" in shown) == (offered, not offered)


@pytest.mark.parametrize(("decided", "word"), [(False, "undecided"), (True, "decided")])
def test_the_header_tells_the_last_look(decided: bool, word: str) -> None:
    state = RunState()
    assert last_look(Scene.of(state, dark=True)) is None
    state.looks.append(ev.DecisionLooked(8, 20, [], decided))
    look = last_look(Scene.of(state, dark=True))
    assert look is not None
    assert look.plain == f"seed 8 of at most 20: {word}"


@pytest.mark.parametrize(
    ("rounds", "other", "cell"), [(32, 1.0, "± 3.1 %"), (32, 2.0, "± 3.1 % ✓"), (31, 2.0, "7 of 8")]
)
def test_the_leaderboard_tells_what_the_race_alone_says(
    rounds: int, other: float, cell: str, tmp_path: Path
) -> None:
    """Of 8 blocks of 4 rounds, whose log ratios are log(other) ± .01735 in turn.

    Their standard error is .00656, and f(8) = 4.604 (section 1a of the statistics): exp(.0302) = 1.031.
    """
    state = read_run(build("mid", tmp_path))
    own, reference = (state.trials[name].rounds for name in ("gram-1s.s0", "e2e.s0"))
    for number in range(rounds):
        wave = 1.0175 if number // 4 % 2 else 1 / 1.0175
        for rows, seconds in ((own, 1.0), (reference, other * wave)):
            before = rows[-1] if rows else Round(0, 0.0, 0, False)
            rows.append(Round(number, before.train_s + seconds, before.samples + 40, False))
    table = leaderboard(Scene.of(state, dark=True), 200).plain.splitlines()
    assert "in race" in table[0]
    row = next(line for line in table if "gram-1s" in line)
    assert cell in row
    assert ("✓" in row) == ("✓" in cell)
