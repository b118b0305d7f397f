"""Apply each fault to a copy of the checkout, and check that the tests of its area detect it.

    python -m tests.faults [NAME …] [--processes 2] [--no-baseline]

Prints one line per fault: `found` with the first failing test and the seconds, or `MISSED` (all tests passed, or hung),
`BROKEN` (the tests could not run) or `STALE` (the patch no longer applies). The exit code is 1 unless all are found.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.faults.fault import ROOT, Fault, first_failure, load, union_of_tests

LIMIT_S: Final = 300.0
"""Seconds for the tests of one fault; tests that take longer have not detected it."""
BASELINE_S: Final = 1800.0
"""Seconds for the tests of all faults without a fault."""
_PYTEST: Final = ("pytest", "-q", "--no-header", "-p", "no:cacheprovider")
_SAY_WHERE: Final = (
    "import actors as a, sanitization as s, transport as t, understudy as u; print(a, s, t, u, sep='\\n')"
)


def copy_checkout(to: Path) -> Path:
    """Copy the working tree without ignored files to an empty folder, and check that Python imports the copy."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    code, output = run_python(to, ("-c", _SAY_WHERE), LIMIT_S)
    if code != 0 or not all(f" from '{to}" in line for line in output.splitlines()):
        raise RuntimeError(f"Python does not import the product from the copy, but:\n{output}")
    return to


def run_python(copy: Path, arguments: Sequence[str], limit_s: float) -> tuple[int | None, str]:
    """Run Python in a copy. Return the exit code, None after `limit_s` seconds, and the output."""
    with tempfile.TemporaryFile() as output:  # no pipe: a server that a test left behind would hold it open
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=copy,
            env={**os.environ, "CI": "true", "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(copy)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(limit_s)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also the servers that the tests have started
        process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def apply(copy: Path, fault: Fault, *flags: str) -> bool:
    """Apply a patch to a copy, or take it back with `-R`. Return whether it applies."""
    ended = subprocess.run(("git", "apply", *flags, fault.patch), cwd=copy, check=False, capture_output=True)
    for path in fault.changed:  # a module and its bytecode are compared by size and whole seconds
        Path(cache_from_source(str(copy / path))).unlink(missing_ok=True)
    return ended.returncode == 0


def detect(copies: "SimpleQueue[Path]", fault: Fault) -> bool:
    """Run a fault's tests in a free copy, with the fault, and print the result. Return whether they detect it."""
    copy, began = copies.get(), time.monotonic()
    try:
        if not apply(copy, fault):
            print(f"STALE   {fault.name}  the patch does not apply", flush=True)
            return False
        try:
            code, output = run_python(copy, ("-m", *_PYTEST, "-x", *fault.tests), LIMIT_S)
        finally:
            if not apply(copy, fault, "-R"):
                raise RuntimeError(f"{fault.name} cannot be taken back: its tests have changed {fault.changed}")
    finally:
        copies.put(copy)
    took_s, failed = time.monotonic() - began, first_failure(output)
    if code == 1 and failed is not None:
        print(f"found   {fault.name}  {failed}  {took_s:.0f} s", flush=True)
        return True
    if code in (None, 0):
        print(
            f"MISSED  {fault.name}  {'all tests passed' if code == 0 else 'the tests hung'}  {took_s:.0f} s", flush=True
        )
    else:
        print(f"BROKEN  {fault.name}  pytest ended with {code}:\n{output[-2000:]}", flush=True)
    return False


def check_baseline(copy: Path, faults: Sequence[Fault], processes: int) -> bool:
    """Run the tests of all faults without a fault. Return whether they pass, and print the output otherwise."""
    spread = (f"--numprocesses={processes}", "--dist=loadfile") if processes > 1 else ()
    code, output = run_python(copy, ("-m", *_PYTEST, *spread, *union_of_tests(faults)), BASELINE_S)
    print("the tests pass without a fault" if code == 0 else f"{output[-5000:]}\nred without a fault", flush=True)
    return code == 0


def main() -> int:
    """Run the faults that the command line names, or all of them. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of patches; default: all")
    parser.add_argument("--processes", type=int, default=1, help="faults tried at once, each in a copy of its own")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a fault first")
    args = parser.parse_args()
    try:
        faults = load(args.names)
    except FileNotFoundError as error:
        parser.error(f"there is no patch {error.filename}")
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for number in range(args.processes):
            (copy := Path(folder).resolve() / str(number)).mkdir()
            copies.put(copy_checkout(copy))
        if not args.no_baseline and not check_baseline(copy, faults, args.processes):
            return 1
        with ThreadPoolExecutor(args.processes) as pool:
            detected = sum(pool.map(lambda fault: detect(copies, fault), faults))
    print(f"{detected} of {len(faults)} found")
    return 0 if detected == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
