"""`python -m benchmarks [name ...] [--json]`: run the named modules of this package, or all that have figures."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

from .figure import pin_to_one_core

_NOT_FIGURES = {"__main__", "figure", "soak"}


def main(arguments: list[str] | None = None) -> int:
    """Print every figure of every named module as it is measured; return the process's exit status."""
    package = str(__package__)
    known = sorted(
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
        if not module.ispkg and module.name not in _NOT_FIGURES
    )
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description="Figures beside those of peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(known)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    pin_to_one_core()
    for name in options.names or known:
        for figure in importlib.import_module(f"{package}.{name}").figures():
            print(figure.json() if options.json else figure.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
