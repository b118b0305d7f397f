"""`python -m benchmarks [name ...] [--json | --markdown | --into FILE]`: run the named modules, or all with figures.

A part (`--only`) has a table of its own in FILE, after `<!-- figures: NAME PART -->`.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

from .figure import Figure, machine, pin_to_one_core, table

_NOT_FIGURES = {"__main__", "actors_soak", "cells", "figure", "path_kinds", "peers"}


def main(arguments: list[str] | None = None) -> int:
    """Print every figure of every named module as it is measured; return the process's exit status."""
    package = str(__package__)
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    known = sorted(module.name for module in modules if module.name not in _NOT_FIGURES)
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description="Figures beside those of peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(known)} (default: all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line")
    form.add_argument("--markdown", action="store_true", help="print a table for the documentation, at the end")
    form.add_argument("--into", type=Path, metavar="FILE", help="put that table into FILE, between its two comments")
    parser.add_argument("--together", action="store_true", help="put one table of all into FILE, for `all`")
    parser.add_argument("--quick", action="store_true", help="too short for meaningful numbers (chat, start, wire)")
    parser.add_argument("--corpora", type=Path, metavar="DIR", help="a corpus of attacks and look-alikes (scrub only)")
    parser.add_argument(
        "--misses", nargs="?", const="all", metavar="FAMILY", help="only judge it, and list what failed (scrub only)"
    )
    parser.add_argument("--only", metavar="NAME", help="only one of its parts (agents, chat, page, path)")
    parser.add_argument("--peer", metavar="NAME", help="only beside this one of its peers (chat, page)")
    parser.add_argument("--list", action="store_true", help="also list the functions by their modules (path only)")
    parser.add_argument("--keep", action="store_true", help="write the counts that must not grow (path only)")
    parser.add_argument(
        "--small", action="store_true", help="a small version, as the tests run it (agents, page, soak)"
    )
    parser.add_argument("--limit", type=float, metavar="S", help="begin nothing new after S s (agents, chat, page)")
    parser.add_argument("--minutes", type=float, metavar="N", help="length of the soak (calm only)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    pin_to_one_core()
    everything: list[Figure] = []
    for name in options.names or known:
        module = importlib.import_module(f"{package}.{name}")
        measured: list[Figure] = []
        where = machine()
        sizes = (module.QUICK,) if options.quick and hasattr(module, "QUICK") else ()
        wanted = {name: getattr(options, name) for name in getattr(module, "OPTIONS", ())}
        for figure in module.figures(*sizes, **wanted):
            measured.append(figure)
            if not options.markdown:
                print(figure.json() if options.json else figure.line(), flush=True)
        if options.markdown:
            print(table(measured), where, sep="\n\n", flush=True)
        elif options.into is not None and not options.together:
            part = name if options.only is None else f"{name} {options.only}"
            put_between(options.into, part, f"{table(measured)}\n\n{where}")
        everything += measured
        if options.together and options.into is not None:  # after each: a later one may fail
            put_between(options.into, "all", f"{table(everything)}\n\n{where}")
    return 0


def put_between(file: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- figures: NAME -->` and `<!-- end -->`; ValueError when they are not there."""
    whole = file.read_text()
    opening, closing = f"<!-- figures: {name} -->", "<!-- end -->"
    before, begin, rest = whole.partition(opening)
    _, end, after = rest.partition(closing)
    if not (begin and end):
        raise ValueError(f"{file} has no {opening} followed by {closing}")
    file.write_text(f"{before}{opening}\n\n{text}\n\n{closing}{after}")


if __name__ == "__main__":
    sys.exit(main())
