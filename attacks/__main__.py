"""Run the attacks one after another; exit code 1 if one finds a fault."""

import argparse
import importlib
import pkgutil
import sys
import time
import warnings
from types import ModuleType

import attacks


def modules() -> dict[str, ModuleType]:
    """Every attack by its name."""
    names = sorted(info.name for info in pkgutil.iter_modules(attacks.__path__) if info.name != "__main__")
    found = [importlib.import_module(f"attacks.{name}") for name in names]
    return {module.NAME: module for module in found if hasattr(module, "NAME")}


def main() -> int:
    """Run those that are named, or all."""
    known = modules()
    parser = argparse.ArgumentParser(prog="python -m attacks", description=attacks.__doc__)
    parser.add_argument("--count", type=int, default=3000, help="mutations of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *known], help=", ".join(known))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = 0
    for name in given.names or known:
        began = time.monotonic()
        faults = known[name].attack(given.count, given.seed)
        seconds = time.monotonic() - began
        print(f"{name}: {known[name].WHAT}: {len(faults)} faults, {seconds:.0f} s", flush=True)
        print("".join(f"  {fault}\n" for fault in faults), end="", flush=True)
        found += len(faults)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
