"""What was found: where, of which kind, how sure, and what stands in its place. Never the text itself."""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from attrs import field, frozen


class Category(enum.StrEnum):
    """The families of things that must not pass."""

    MARKUP = "markup"
    SECRET = "secret"  # noqa: S105 - a category's name
    PII = "pii"
    INJECTION = "injection"
    INVISIBLE = "invisible"
    TERMINAL = "terminal"


class Hit(NamedTuple):
    """One match of a detector in the text it was given: `start` to `end` (exclusive), in code points.

    `anchor` is where the match begins that led to it, at `start` or before: of `password = …` the `p`.
    """

    start: int
    end: int
    kind: str
    score: float
    replacement: str
    anchor: int


@frozen
class Finding:
    """One thing found in a text.

    `start` and `end` (exclusive) are code points of the original text. `kind` is dotted below `category`
    (`secret.aws.access_key`, `invisible.bidi`). `score` runs from 0 (a guess) to 1 (certain by its form).
    `replacement` is what stands in the text instead; empty where the find was simply taken out.
    `detector` is the name of the module that found it.
    """

    kind: str
    category: Category
    start: int
    end: int
    score: float
    replacement: str
    detector: str


@frozen
class Scrubbed:
    """A text with what must not pass taken out, and the account of it in order of `start`.

    A secret that was broken up by invisible characters encloses the findings of those characters.
    `omitted` counts replacements beyond the policy's bound on findings: made, but not listed.
    """

    text: str = field(repr=False)
    findings: tuple[Finding, ...] = ()
    omitted: int = 0


@frozen
class Summary:
    """Findings in a form that may be shown and logged: `counts` by category, `findings` as kind, start, end."""

    counts: Mapping[str, int]
    findings: tuple[Mapping[str, Any], ...]


def summary(findings: Iterable[Finding]) -> Summary:
    """What was found, without any of the text it was found in."""
    listed = tuple(findings)
    return Summary(
        counts=dict(Counter(finding.category.value for finding in listed)),
        findings=tuple({"kind": each.kind, "start": each.start, "end": each.end} for each in listed),
    )
