"""Run the benchmarks one after another, each in a process of its own, and write the page of their results.

`python -m benchmarks` runs those that take minutes; `--long` runs the headline, which takes ten minutes, the
one that takes an hour, and those that explain the engine. Exit code 0 if every claim is met, 6 if one is
not, 1 if a script failed.
"""

import argparse
import subprocess
import sys
import time

from benchmarks import page

SHORT = (
    "cli_start",
    "ranking_metrics",
    "inference",
    "prepare",
    "chunked",
    "reuse",
    "epoch",
    "adaptive",
    "dashboard_overhead",
)
LONG = ("buckets", "ablation", "day_of_log", "toeic", "goodreads", "modern", "frozen", "auto_window")


def main() -> int:
    """Run, sum up, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long ones instead")
    parser.add_argument("names", nargs="*", help="only these")
    given = parser.parse_args()
    codes = {}
    began = time.monotonic()
    for name in given.names or (LONG if given.long else SHORT):
        codes[name] = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    print(f"\n{len(codes)} scripts in {time.monotonic() - began:.0f} s")
    page.main()
    failed = [name for name, code in codes.items() if code not in (0, 6)]
    unmet = [name for name, code in codes.items() if code == 6]
    for label, names in (("failed", failed), ("a claim not met", unmet)):
        if names:
            print(f"{label}: {', '.join(names)}")
    return 1 if failed else 6 if unmet else 0


if __name__ == "__main__":
    sys.exit(main())
