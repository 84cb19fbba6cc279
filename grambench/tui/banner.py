"""The line that says how a run ended and what to do now."""

from textual.content import Content

from grambench.errors import ExitCode
from grambench.tui.scene import Scene
from grambench.views import numbers

_ENDINGS: dict[int, str] = {
    ExitCode.OK: "finished in",
    ExitCode.PARTIAL: "finished, some strategies failed, in",
    ExitCode.STOPPED: "stopped after",
    ExitCode.INTERRUPTED: "interrupted after",
}


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
