"""A corpus of attacks and look-alikes (JSON Lines, one file a kind), and the sanitizer's verdict on each row.

A row has `id`, `category`, `text` and `expect`: `"clean"`, or a list of spans `{kind, start, end}` in code points of
the text, end exclusive. A look-alike may have `only_for`, the kind it must not be taken for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from sanitization import STANDARD, Action, Category, Direction, Finding, Sanitized, Sanitizer, everywhere

from .page import inert_pages, same_to_a_reader

SHOWN: Final = 8
"""Consecutive characters of a secret that must not be visible."""
EVERYTHING: Final = Sanitizer(everywhere(dict.fromkeys(Category, Action.REMOVE)), Direction.TOOL)
ORDINARY: Final = Sanitizer(STANDARD)
# These are attacks only in their conversation: the words alone are ordinary.
NOT_COUNTED: Final = frozenset({"attack_contextual"})


@frozen
class Span:
    """The place of an expected find."""

    kind: str
    start: int
    end: int


@frozen
class Row:
    """One case of the corpus."""

    id: str
    category: str
    text: str
    spans: tuple[Span, ...] = ()
    only_for: str = "*"


@frozen
class Family:
    """A kind of case: the file of attacks (and beside it that of look-alikes), and the categories that count."""

    name: str
    file: str
    categories: frozenset[Category]


@frozen
class Verdict:
    """The result for a row: whether it passed, the number of exact spans, and the findings."""

    row: Row
    passed: bool
    exact: int = 0
    found: tuple[Finding, ...] = ()

    def line(self) -> str:
        """The row with the expected and the actual findings."""
        expected = " ".join(f"{span.kind}[{span.start}:{span.end}]" for span in self.row.spans) or "clean"
        found = " ".join(f"{span.kind}[{span.start}:{span.end}]" for span in self.found) or "nothing"
        return f"{self.row.id}  {self.row.text!r}  expected {expected}, found {found}"


@frozen
class Report:
    """The verdicts on a family's rows: attacks that must be found, look-alikes that must not."""

    family: Family
    attacks: Sequence[Verdict] = field(factory=tuple)
    benign: Sequence[Verdict] = field(factory=tuple)

    @property
    def recall(self) -> float:
        """Share of attacks that passed, in per cent; 0 without any."""
        return _per_cent(sum(row.passed for row in self.attacks), len(self.attacks))

    @property
    def false_alarms(self) -> float:
        """Share of look-alikes that did not pass, in per cent."""
        return _per_cent(sum(not row.passed for row in self.benign), len(self.benign))

    @property
    def exact(self) -> float:
        """Share of spans that a finding matches to the character, in per cent."""
        return _per_cent(sum(row.exact for row in self.attacks), sum(len(row.row.spans) for row in self.attacks))

    def categories(self) -> Mapping[str, tuple[int, int]]:
        """The number of rows that passed, and of all rows, by category."""
        counts: dict[str, tuple[int, int]] = {}
        for row in (*self.attacks, *self.benign):
            passed, rows = counts.get(row.row.category, (0, 0))
            counts[row.row.category] = (passed + row.passed, rows + 1)
        return counts

    def misses(self) -> list[Verdict]:
        """The rows that did not pass."""
        return [row for row in (*self.attacks, *self.benign) if not row.passed]

    def inexact(self) -> list[Verdict]:
        """The rows that passed although not all their spans were exact."""
        return [row for row in self.attacks if row.passed and row.exact < len(row.row.spans)]


FAMILIES: Final = (
    Family("markup", "xss", frozenset({Category.MARKUP})),
    Family("secrets", "secrets", frozenset({Category.SECRET})),
    Family("pii", "pii", frozenset({Category.PII})),
    Family("injection", "injection", frozenset({Category.INJECTION})),
    Family("terminal", "terminal", frozenset({Category.TERMINAL})),
    Family("unicode", "unicode", frozenset({Category.INVISIBLE, Category.TERMINAL})),  # NEL is both
)


def read(file: Path) -> list[Row]:
    """Return the rows of a file that count. Raises OSError, or ValueError for an invalid line."""
    rows = []
    for line in file.read_text("utf-8").splitlines():
        each: dict[str, Any] = json.loads(line)
        if each["category"] in NOT_COUNTED:
            continue
        spans = () if each["expect"] == "clean" else tuple(Span(**span) for span in each["expect"])
        rows.append(Row(each["id"], each["category"], each["text"], spans, each.get("only_for", "*")))
    return rows


def report(corpora: Path, family: Family) -> Report:
    """Judge all rows of a family."""
    attacks, benign = read(corpora / f"{family.file}.jsonl"), read(corpora / f"{family.file}_benign.jsonl")
    if family.name == "markup":
        inert = inert_pages([row.text for row in attacks])
        return Report(
            family,
            [Verdict(row, passed) for row, passed in zip(attacks, inert, strict=True)],
            [Verdict(row, same_to_a_reader(row.text)) for row in benign],
        )
    judge = _flagged if family.name == "injection" else _covered
    return Report(family, [judge(family, row) for row in attacks], [_clean(family, row) for row in benign])


def _flagged(family: Family, row: Row) -> Verdict:
    found = _of(family, EVERYTHING.sanitize(row.text))
    return Verdict(row, bool(found), _exact(row, found), tuple(found))


def _covered(family: Family, row: Row) -> Verdict:
    """Judge a row: each span must lie within findings of the family, and nothing of a secret may be left."""
    sanitized = EVERYTHING.sanitize(row.text)
    found = _of(family, sanitized)
    seen = {place for each in found for place in range(each.start, each.end)}
    passed = all(seen.issuperset(range(span.start, span.end)) for span in row.spans)
    if family.name == "secrets":
        passed = passed and not any(_shows(sanitized.text, row.text[span.start : span.end]) for span in row.spans)
    return Verdict(row, passed, _exact(row, found), tuple(found))


def _clean(family: Family, row: Row) -> Verdict:
    found = _of(family, EVERYTHING.sanitize(row.text))
    if row.only_for != "*":
        found = [span for span in found if _is_kind(span.kind, row.only_for)]
    unchanged = family.name != "unicode" or ORDINARY.sanitize(row.text).text == row.text
    return Verdict(row, not found and unchanged, found=tuple(found))


def _of(family: Family, sanitized: Sanitized) -> list[Finding]:
    return [find for find in sanitized.findings if find.category in family.categories]


def _is_kind(kind: str, name: str) -> bool:
    """Return whether a finding's kind (`pii.us.ssn`) is the one a row names (`us_ssn`)."""
    return kind.partition(".")[2].replace(".", "_").replace("-", "_") == name.replace("-", "_")


def _exact(row: Row, found: Iterable[Finding]) -> int:
    places = {(each.start, each.end) for each in found}
    return sum((span.start, span.end) in places for span in row.spans)


def _shows(text: str, secret: str) -> bool:
    size = min(SHOWN, len(secret))
    return any(secret[at : at + size] in text for at in range(len(secret) - size + 1))


def _per_cent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
