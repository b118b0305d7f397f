"""One fault of the product: a patch with a header that says what breaks, and which tests must detect that."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parent.parent
PROMISES: Final = ("1", "2", "3", "4", "supervision")
"""The four promises of README.md by number, and the guarantees of supervision in tests/promises.toml."""


@frozen
class Fault:
    """A patch in this folder. `says` is what is wrong with the product when it is applied; `tests` must detect it."""

    name: str
    says: str
    promise: str
    tests: tuple[str, ...]
    changed: tuple[str, ...]
    lines: int

    @property
    def patch(self) -> Path:
        """The file of the patch."""
        return FOLDER / f"{self.name}.patch"

    @property
    def packages(self) -> set[str]:
        """The packages of the product that it changes."""
        return {path.partition("/")[0] for path in self.changed}


def parse(name: str, text: str) -> Fault:
    """Parse a patch. `lines` counts the larger of the lines added and removed. Raises ValueError without a header."""
    header, _, diff = text.partition("\n--- a/")
    fields = dict(re.findall(r"^(Promise|Tests): (.+)$", header, re.MULTILINE))
    says = header.partition("\n")[0].strip()
    if fields.keys() != {"Promise", "Tests"} or not says.endswith("."):
        raise ValueError(f"{name}: the header is a sentence, then the lines `Promise: …` and `Tests: …`")
    changed = tuple(re.findall(r"^\+\+\+ b/(\S+)", diff, re.MULTILINE))
    added, removed = (len(re.findall(rf"^{re.escape(sign)}(?!{re.escape(sign * 2)} )", diff, re.M)) for sign in "+-")
    return Fault(name, says, fields["Promise"], tuple(fields["Tests"].split()), changed, max(added, removed))


def load(names: Sequence[str] = ()) -> list[Fault]:
    """Load the faults of these names, or all, sorted by name. Raises FileNotFoundError for an unknown name."""
    names = names or sorted(path.stem for path in FOLDER.glob("*.patch"))
    return [parse(name, (FOLDER / f"{name}.patch").read_text(encoding="utf-8")) for name in names]


def union_of_tests(faults: Iterable[Fault]) -> list[str]:
    """Return each test file that a fault names, once."""
    return sorted({test for fault in faults for test in fault.tests})


def first_failure(output: str) -> str | None:
    """Return the first failing test in the summary that `pytest -ra` prints, or None."""
    match = re.search(r"^FAILED (\S+)", output, re.MULTILINE)
    return None if match is None else match[1]
