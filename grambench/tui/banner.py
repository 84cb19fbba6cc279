"""The lines that say how a run ended, what it found and what to do now."""

from textual.content import Content

from grambench.analysis.ranking import ranking_sentence
from grambench.errors import ExitCode
from grambench.text import safe_text
from grambench.tui.line_parts import shortened
from grambench.tui.palette import conclusion_colour
from grambench.tui.scene import Scene
from grambench.views import numbers
from grambench.views.comparison_table import own_settings
from grambench.views.palette import Tones

_MOST_ROWS = 3
_ENDINGS: dict[int, str] = {
    ExitCode.OK: "finished in",
    ExitCode.PARTIAL: "finished, some strategies failed, in",
    ExitCode.STOPPED: "stopped after",
    ExitCode.INTERRUPTED: "interrupted after",
}


def is_paused(scene: Scene) -> bool:
    """The run waits for somebody to resume it."""
    return scene.state.paused and not scene.is_over and scene.share_read == 1


def banner_text(scene: Scene) -> Content:
    """Empty while the run is in progress and all of its log has been read."""
    state, tones = scene.state, scene.tones
    if scene.share_read < 1:
        return Content.assemble(
            ("▸ ", f"bold {tones.accent}"),
            (f"reading the log, {scene.share_read:.0%}", f"bold {tones.text}"),
            (" – the display is not up to date yet", tones.muted),
        )
    if scene.gone:
        return Content.assemble(
            ("✗ ", f"bold {tones.warn}"),
            (f"no process {state.pid} here", f"bold {tones.text}"),
            (" – the runner was killed, or runs on another machine; q to leave", tones.muted),
        )
    if is_paused(scene):
        return Content("‖ PAUSED – nothing trains; p resumes")
    if not state.finished:
        return Content("")
    ending = _ENDINGS.get(state.exit_code or 0, f"ended with code {state.exit_code} after")
    good = not state.exit_code
    sign, colour = ("✓ ", tones.good) if good else ("✗ ", tones.warn)
    report = "report.json written" if scene.reported else "report.json not written yet"
    return Content.assemble(
        (sign, f"bold {colour}"),
        (f"{ending} {numbers.clock(state.seconds)}", f"bold {tones.text}"),
        (f" – q to leave, {report}", tones.muted),
    )


def verdict_rows(scene: Scene, width: int) -> list[Content]:
    """What a run that has ended says first, in rows of `width` cells.

    Who won, where labels have settings of their own; else the sentence of the primary comparison. Two rows
    where they hold it, never more than three; the whole is on the verdict's own screen.
    """
    verdict, state = scene.verdict, scene.state
    if verdict is None or not verdict.compared or not state.finished:
        return []
    if verdict.places and own_settings(state):
        look = scene.looks[verdict.places[0].label]
        sentence = ranking_sentence(verdict.places, state.metric.title)
        return _rows(sentence, width, f"{look.marker} ", f"bold {look.colour}", scene.tones)
    first = verdict.compared[0]
    conclusion = first.comparison.conclusion
    sign = {"pays": "✓ ", "does not pay": "✗ "}.get(conclusion, "? ")
    colour = conclusion_colour(conclusion, scene.tones)
    return _rows(first.sentence, width, sign, f"bold {colour}", scene.tones)


def _rows(sentence: str, width: int, sign: str, bold: str, tones: Tones) -> list[Content]:
    rows = Content(safe_text(sentence, 4000)).wrap(max(8, width - len(sign)))
    if len(rows) > _MOST_ROWS:
        rest = " ".join(row.plain for row in rows[_MOST_ROWS - 1 :])
        rows = [*rows[: _MOST_ROWS - 1], Content(shortened(rest, width - len(sign)))]
    return [
        Content.assemble((sign if number == 0 else "  ", bold), (row.plain, tones.text))
        for number, row in enumerate(rows)
    ]
