"""Hits and findings: place, kind, score and replacement, but never the text itself; and the kinds there are."""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from attrs import field, frozen

REPLACEMENT: Final = "[redacted]"
"""Replaces a find that is removed, unless its detector has another word for it."""


class Category(enum.StrEnum):
    """The families of findings."""

    MARKUP = "markup"
    SECRET = "secret"  # noqa: S105 - a category's name
    PII = "pii"
    INJECTION = "injection"
    INVISIBLE = "invisible"
    TERMINAL = "terminal"


@frozen
class Kind:
    """One kind that a detector distinguishes.

    `name` is dotted below the category (`pii.email`), `meaning` is a sentence for people, `example` a text in which
    exactly this kind is found. Examples of secrets are assembled at run time and never shown.
    """

    name: str
    meaning: str
    example: str = field(repr=False)


def kinds_of(category: str, table: str) -> tuple[Kind, ...]:
    """Read kinds from a table with one on each line: its name below the category, its meaning, an example."""
    rows = (line.split(" | ") for line in table.strip().split("\n"))
    return tuple([Kind(f"{category}.{name}", meaning, example) for name, meaning, example in rows])


class Action(enum.StrEnum):
    """The treatment of a finding."""

    REMOVE = "remove"
    """Replace it by the detector's replacement: nothing, or a word such as `[redacted]`."""
    MASK = "mask"
    """Cover its characters; its shape, or its last four, remain."""
    TOKENISE = "tokenise"
    """Replace it by a placeholder, the same one each time, that can be restored (`Placeholders`)."""
    FLAG = "flag"
    """Leave it in the text and report it."""
    BLOCK = "block"
    """Withhold the whole text."""


class Hit(NamedTuple):
    """One match of a detector in the text it was given: `start` to `end` (exclusive), in code points.

    `anchor` is where the underlying match begins, at `start` or before: for `password = …` the `p`. `replacement`
    replaces the hit if it is removed. `reasons` explain the score, in a few words each. `report_start` is where the
    reported span begins if that is before `start`: a word is reported as a whole though a stream has already passed on
    its harmless beginning.
    """

    start: int
    end: int
    kind: str
    score: float
    replacement: str
    anchor: int
    reasons: tuple[str, ...] = ()
    report_start: int | None = None


make_hit: Final[Callable[[tuple[int, int, str, float, str, int, tuple[str, ...], int | None]], Hit]] = partial(
    tuple.__new__, Hit
)
"""Make a hit from all its parts: twice as fast as `Hit(…)`, for detectors that may hit every other character."""


@frozen
class Finding:
    """One reported find in a text.

    `start` and `end` (exclusive) are code points of the original text. `kind` is dotted below `category`
    (`secret.aws.access_key`, `invisible.bidi`). `score` runs from 0 (a guess) to 1 (certain by its form). `replacement`
    is the text in its place, empty if the find was deleted or left as it was (see `action`). `detector` is the name of
    the detector, `reasons` explain the score.
    """

    kind: str
    category: Category
    start: int
    end: int
    score: float
    replacement: str
    detector: str
    action: Action = Action.REMOVE
    reasons: tuple[str, ...] = ()


@frozen
class Failure:
    """A detector that raised an error. `error` is the name of its class only: its message may quote the text."""

    detector: str
    error: str


@frozen
class Sanitized:
    """A sanitized text and its findings in order of `start`.

    A secret that was broken up by invisible characters encloses the findings of those characters. A find that surrounds
    another detector's find is reported in parts, one before it and one after it. `omitted` counts finds beyond the
    policy's `max_findings`: acted on, but not listed. A text that is `blocked` is empty. `failures` lists the detectors
    that raised errors.
    """

    text: str = field(repr=False)
    findings: tuple[Finding, ...] = ()
    omitted: int = 0
    blocked: bool = False
    failures: tuple[Failure, ...] = ()


@frozen
class Summary:
    """Findings in a form that may be shown and logged: `counts` by category, `findings` as kind, start, end."""

    counts: Mapping[str, int]
    findings: tuple[Mapping[str, Any], ...]


def summary(findings: Iterable[Finding]) -> Summary:
    """Summarise findings without any of the text."""
    listed = tuple(findings)
    return Summary(
        counts=dict(Counter(finding.category.value for finding in listed)),
        findings=tuple({"kind": finding.kind, "start": finding.start, "end": finding.end} for finding in listed),
    )


def utf16_offsets(text: str, findings: Iterable[Finding]) -> list[tuple[int, int]]:
    """Return start and end (exclusive) of each finding of `text` in UTF-16 code units, in the order of the findings.

    Browsers and JSON clients count in these: `"\U0001f600".length` is 2 there. Takes one walk over the text. Raises
    ValueError for a finding that ends beyond the text: it belongs to another text.
    """
    spans = [(finding.start, finding.end) for finding in findings]
    places = sorted({place for span in spans for place in span})
    if places and not 0 <= places[0] <= places[-1] <= len(text):
        raise ValueError(f"a finding from {places[0]} to {places[-1]} in a text of {len(text)} characters")
    units, unit, position = dict[int, int](), 0, 0
    for place in places:
        unit += len(text[position:place].encode("utf-16-le", "surrogatepass")) // 2
        units[place] = unit
        position = place
    return [(units[start], units[end]) for start, end in spans]
