"""The proof that a release is given: the parts of `tests/proof.toml`, beside what `make test` runs.

    python -m tests.proof               all parts, their results into `docs/reference/proof.md`
    python -m tests.proof fuzz soak     these parts
    python -m tests.proof --changed     the parts whose files differ from those of their last recorded result
    pytest --proof=fuzz FILES           the tests that are marked with this part; `all` for those of all parts

A part's result is recorded with a digest of the files that touch it (`touched` of the table), so a part runs again
once one of them has changed, whatever the history of the repository.
"""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pytest
from attrs import field, frozen

ROOT: Final = Path(__file__).parent.parent
TABLE: Final = Path(__file__).with_suffix(".toml")
PAGE: Final = ROOT / "docs" / "reference" / "proof.md"
ROW: Final = re.compile(
    r"^\| `(?P<name>\w+)` \|.*\| (?P<verdict>passed|failed): .*\| `(?P<digest>\w+)` \|$", re.MULTILINE
)
DIGITS: Final = 12
TESTS: Final = (
    "--numprocesses=auto",
    "--dist=loadfile",
    "--no-loadscope-reorder",
    "--max-worker-restart=0",
    "-q",
)


@frozen
class Part:
    """One part of the proof. Each of `commands` is what follows `python -m`."""

    name: str
    shows: str
    commands: Sequence[str] = ()


@frozen
class Table:
    """The parts, and the parts that a changed file makes run: by the beginning of its path, the longest counts."""

    parts: Mapping[str, Part]
    touched: Mapping[str, Sequence[str]]

    def touched_by(self, path: str) -> Sequence[str] | None:
        """Return the parts that a change of this file touches, None if no beginning of its path is in the table."""
        starts = [start for start in self.touched if path.startswith(start)]
        return self.touched[max(starts, key=len)] if starts else None


@frozen
class Result:
    """What a part's tests and commands ended in."""

    outcomes: Counter[str] = field(factory=Counter)
    failures: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether something ran, all of it passed, and nothing was skipped."""
        return bool(self.outcomes["passed"]) and self.outcomes.keys() == {"passed"}


def load(path: Path = TABLE) -> Table:
    """Return the table."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return Table({name: Part(name, **part) for name, part in table["parts"].items()}, table["touched"])


class Item(Protocol):
    """A test of pytest's."""

    def get_closest_marker(self, name: str) -> Any: ...


I = TypeVar("I", bound=Item)  # noqa: E741 - an item


def part_of(item: Item) -> str | None:
    """Return the part to which a test belongs, None for one of `make test`."""
    marker = item.get_closest_marker("proof")
    return None if marker is None else marker.args[0]


def select(items: Sequence[I], wanted: str | None) -> list[I]:
    """Return the tests of these parts (comma-separated; `all`), or without any those that belong to none.

    Raises:
        pytest.UsageError: A part that was asked for, or that a test is marked with, is not in the table.
    """
    all_parts = set(load().parts)
    chosen = set() if wanted is None else all_parts if wanted == "all" else set(wanted.split(","))
    parts = [part_of(item) for item in items]
    if unknown := sorted((chosen | set(parts) - {None}) - all_parts):
        raise pytest.UsageError(f"the proof has no part {unknown[0]!r}: its parts are {', '.join(sorted(all_parts))}")
    return [item for item, part in zip(items, parts, strict=True) if part in (chosen or {None})]


def files() -> list[str]:
    """Return the paths of the checkout's files that git knows, sorted."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def digests(table: Table) -> dict[str, str]:
    """Return for each part the digest of all files that touch it."""
    hashes = {name: sha256() for name in table.parts}
    for path in files():
        parts = table.touched_by(path)
        content = sha256((ROOT / path).read_bytes()).digest() if parts else b""
        for name in parts or ():
            hashes[name].update(path.encode() + b"\0" + content)
    return {name: digest.hexdigest()[:DIGITS] for name, digest in hashes.items()}


def recorded(page: str) -> dict[str, str]:
    """Return the digest of each part that the page says has passed."""
    return {row["name"]: row["digest"] for row in ROW.finditer(page) if row["verdict"] == "passed"}


def run(parts: Sequence[Part]) -> Iterator[tuple[Part, Result]]:
    """Run the tests of these parts in one pytest, then the commands of each part, and yield each part's result."""
    with tempfile.TemporaryDirectory() as folder:
        durations = Path(folder) / "durations.jsonl"
        wanted = ",".join(part.name for part in parts)
        command = [sys.executable, "-m", "pytest", *TESTS, f"--proof={wanted}", f"--durations-to={durations}"]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        lines = [json.loads(line) for line in durations.read_text().splitlines()] if durations.exists() else []
    ended = code not in (0, 1, 5)  # passed, failed, none collected: the tests of a process that died have no line
    for part in sorted(parts, key=lambda part: len(part.commands)):
        result = Result(Counter(ended=1), (f"pytest ended with {code}",)) if ended else of_tests(part.name, lines)
        yield part, _commands(part, result)


def of_tests(name: str, lines: Iterable[Mapping[str, Any]]) -> Result:
    """Return the result of a part's tests from the lines that `tests/durations.py` wrote."""
    ours = [line for line in lines if line.get("proof") == name]
    failures = [line["test"] for line in ours if line["outcome"] != "passed"]
    return Result(Counter(line["outcome"] for line in ours), failures, sum(line["wall_s"] for line in ours))


def _commands(part: Part, result: Result) -> Result:
    outcomes, failures, seconds = Counter(result.outcomes), list(result.failures), result.seconds
    for command in part.commands:
        print(f"\n{part.name}: python -m {command}", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            words = shlex.split(command.format(folder=folder))
            code = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=False).returncode
        seconds += time.monotonic() - began
        outcomes["failed" if code else "passed"] += 1
        failures += [command] if code else []
    return Result(outcomes, failures, seconds)


def machine() -> str:
    """Return the processor, its cores, and the version of Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {names[0] if names else platform.processor()}, Python {platform.python_version()}"


def row(part: Part, result: Result, digest: str, commit: str, where: str, now: datetime) -> str:
    """Return the part's row in the page."""
    verdict = "passed" if result.passed else "failed"
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(result.outcomes.items())) or "none ran"
    cells = (f"`{part.name}`", part.shows, f"{verdict}: {counts}", f"{result.seconds:.0f}", f"{now:%Y-%m-%d}")
    return f"| {' | '.join((*cells, f'`{commit}`', where, f'`{digest}`'))} |"


def written(page: str, rows: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the page with these rows in place of the parts' former ones; rows of parts that are gone are removed."""
    former = {row["name"]: row.group() for row in ROW.finditer(page)}
    kept = {**former, **rows}
    head, _, rest = page.partition("<!-- results -->\n")
    top = rest.splitlines()[:2]
    return "\n".join([f"{head}<!-- results -->", *top, *(kept[name] for name in sorted(names) if name in kept)]) + "\n"


def head() -> str:
    """Return the short hash of the commit that is checked out."""
    git = ["git", "rev-parse", "--short=8", "HEAD"]
    return subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Run parts of the proof; exit code 1 unless all of them passed."""
    table = load()
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=main.__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(table.parts)} [all]")
    parser.add_argument("--changed", action="store_true", help="only parts whose files have changed; records nothing")
    args = parser.parse_args()
    if unknown := set(args.parts) - table.parts.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}: the parts are {', '.join(table.parts)}")
    now_digests, page = digests(table), PAGE.read_text(encoding="utf-8")
    names = args.parts or list(table.parts)
    if args.changed:
        before = recorded(page)
        names = [name for name in names if before.get(name) != now_digests[name]]
        print("parts of the proof that this change touches:", ", ".join(names) or "none", flush=True)
    if not names:
        return 0
    began, results = time.monotonic(), {}
    commit = "" if args.changed else head()  # at the start: HEAD may move while the parts run
    for part, result in run([table.parts[name] for name in names]):
        results[part.name] = result
        if not args.changed:  # at once: what ends before the last part keeps its results
            line = row(part, result, now_digests[part.name], commit, machine(), datetime.now(UTC))
            page = written(page, {part.name: line}, table.parts)
            PAGE.write_text(page, encoding="utf-8")
    print(f"\nthe proof took {time.monotonic() - began:.0f} s")
    for name, result in results.items():
        print(f"{name}: {'passed' if result.passed else 'FAILED'} {dict(result.outcomes)} in {result.seconds:.0f} s")
        for failure in result.failures:
            print(f"  {failure}")
    return 0 if all(result.passed for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
