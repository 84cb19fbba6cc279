"""`docs/benchmarks.md`: its tables are made from `benchmarks/results/*.json`, its prose is written by hand.

`python -m benchmarks.page` writes the tables anew between the two marks; a test compares them.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import HERE, RESULTS, short
from benchmarks.targets import TARGETS, Target

PAGE = HERE.parent / "docs" / "benchmarks.md"
_LISTED = 9
"""Facts of one value that are named one by one."""
BEGIN, END = "<!-- begin results -->", "<!-- end results -->"
ORDER = (
    "toeic",
    "toeic_cuda",
    "reuse",
    "epoch",
    "adaptive",
    "goodreads",
    "modern",
    "frozen",
    "auto_window",
    "chunked",
    "buckets",
    "ablation",
    "ranking_metrics",
    "prepare",
    "dashboard_overhead",
    "inference",
    "day_of_log",
    "cli_start",
    "scaling_law",
    "scaling_ranks",
    "measure",
    "measure_before",
    "gpu",
)
REMARKS = {
    "scaling_law": "What the predictions of [docs/scaling.md](scaling.md) rest on: U(n), the distinct items"
    " among n reads, as Σ 1 − (1 − p)ⁿ with p ∝ (rank + q)⁻ˢ.",
    "scaling_ranks": "All ranks share two CPU cores with each other and with other work (load average 3):"
    " bytes and the sharing of items are what this shows. It is no evidence about speed, least of all about"
    " that of GPUs.",
    "inference": "Two known limits are missed: load on one side that is left in. They were found for blocks"
    " that average log ratios (.580 and .597); a race divides sums, which a burst moves further.",
    "measure_before": "The faults that it found are mended: an assignment that waited for the device when a"
    " window opens, and graphs that could not be captured the first time. Claims that the run above measured"
    " again are left out of the summary.",
    "gpu": "The first run on a GPU, by a script that `benchmarks.measure` has replaced. `e2e` ran at a third"
    " of its speed because attention was planned anew for nearly every step (the run above has both): the"
    " 24.5 times of `gram-1e` over it are inflated about three times.",
}
"""Of a document, above its table."""


def tables(folder: Path = RESULTS) -> str:
    """All results as Markdown, in the order of the page."""
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    names = [name for name in ORDER if name in found] + sorted(set(found) - set(ORDER))
    parts = [_summary([found[name] for name in names]), *(_section(found[name]) for name in names)]
    return "\n\n".join(parts)


def written(page: str, results: str) -> str:
    """The page with its tables replaced."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{results}\n\n{END}{tail}"


def _summary(documents: list[dict[str, Any]]) -> str:
    claims: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for document in documents:
        for claim in document["claims"]:  # the first document that measures a claim speaks for it
            claims.setdefault(claim["text"], (document, claim))
    rows = [
        {
            "claim": claim["text"],
            "target": f"{claim['kind']} {short(claim['bound'])}{claim['unit']}",
            "measured": f"{short(claim['value'])}{claim['unit']}",
            "": "met" if claim["met"] else "**not met**",
            "on": "GPU" if document["device"] != "cpu" else "CPU",
            "script": f"`{document['name']}`",
        }
        for document, claim in claims.values()
    ]
    rows += [_not_measured(target) for target in TARGETS if target.text not in claims]
    return "## Claims\n\n" + markdown(rows)


def _not_measured(target: Target) -> dict[str, str]:
    aim = f", aim {target.aim}" if target.aim else ""
    return {
        "claim": target.text,
        "target": f"{target.kind} {short(target.bound)}{target.unit}{aim}",
        "measured": "not yet measured",
        "on": "GPU",
        "script": "`measure`",
    }


def _section(document: dict[str, Any]) -> str:
    machine = document["machine"]
    place = (
        f"{machine['gpu']}"
        if document["device"] != "cpu"
        else f"CPU: {machine['cpu']}, {machine['cores']} cores"
    )
    command = document.get("command", f"python -m benchmarks.{document['name']}")
    lines = [
        f"## {document['title']}",
        f"`{command}`, measured on {place}, torch {machine['torch']},"
        f" commit {document['commit']}, {document['date']}, {document['seconds']:.0f} s.",
        *([REMARKS[document["name"]]] if document["name"] in REMARKS else []),
        markdown(document["rows"]),
    ]
    notes = [f"{claim['text']}: {claim['note']}." for claim in document["claims"] if claim["note"]]
    facts = ", ".join(f"{name.replace('_', ' ')} {_said(value)}" for name, value in document["facts"].items())
    if facts:
        lines.append(f"Settings: {facts}.")
    return "\n\n".join([*lines, *notes])


def _said(value: object) -> str:
    if isinstance(value, dict):
        alike = set(map(str, value.values()))
        if len(alike) == 1 and len(value) > _LISTED:
            return f"{alike.pop()} (all {len(value)})"
        return "; ".join(f"{key} {each}" for key, each in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def markdown(rows: list[dict[str, str]]) -> str:
    """A table; columns in the order of their first use."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    body = [[row.get(name, "").replace("|", "\\|") for name in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> int:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text(), tables()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
