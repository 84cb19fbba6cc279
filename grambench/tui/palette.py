"""The dashboard's themes, and the colours of states and conclusions."""

from textual.theme import Theme

from grambench.views.palette import DARK, LIGHT, Tones

DARK_THEME = Theme(
    name="grambench-dark",
    primary="#9db8d2",
    secondary="#8391a0",
    accent="#9db8d2",
    foreground=DARK.text,
    background="#0f1419",
    surface="#141a21",
    panel="#1a222b",
    warning=DARK.warn,
    error=DARK.bad,
    success=DARK.good,
    dark=True,
    variables={
        "faint": DARK.faint,
        "muted": DARK.muted,
        "footer-key-foreground": "#9db8d2",
        "footer-description-foreground": DARK.muted,
        "footer-background": "#0f1419",
        "scrollbar": "#2a343f",
        "scrollbar-background": "#0f1419",
        "scrollbar-corner-color": "#0f1419",
    },
)
LIGHT_THEME = Theme(
    name="grambench-light",
    primary="#35618c",
    secondary="#5f6c7a",
    accent="#35618c",
    foreground=LIGHT.text,
    background="#fbfcfd",
    surface="#f3f5f7",
    panel="#e9edf1",
    warning=LIGHT.warn,
    error=LIGHT.bad,
    success=LIGHT.good,
    dark=False,
    variables={
        "faint": LIGHT.faint,
        "muted": LIGHT.muted,
        "footer-key-foreground": "#35618c",
        "footer-description-foreground": LIGHT.muted,
        "footer-background": "#fbfcfd",
        "scrollbar": "#c3ccd5",
        "scrollbar-background": "#fbfcfd",
        "scrollbar-corner-color": "#fbfcfd",
    },
)


def conclusion_colour(conclusion: str, tones: Tones) -> str:
    """The colour of what a comparison concludes."""
    return {"pays": tones.good, "does not pay": tones.bad, "not comparable": tones.warn}.get(
        conclusion, tones.accent
    )


def state_colour(word: str, tones: Tones, strategy_colour: str) -> str:
    """The colour of a state's word; `strategy_colour` while it is active."""
    if word in ("training", "evaluating", "saving"):
        return strategy_colour
    if word in ("done", "early-stopped"):
        return tones.good
    if word in ("failed", "diverged"):
        return tones.bad
    if word in ("stopped", "interrupted", "paused"):
        return tones.warn
    return tones.accent if word == "preparing" else tones.muted
