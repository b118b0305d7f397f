"""What was found: where, of which kind, how sure, and what stands in its place. Never the text itself."""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from attrs import field, frozen


class Category(enum.StrEnum):
    """The families of things that must not pass."""

    MARKUP = "markup"
    SECRET = "secret"  # noqa: S105 - a category's name
    PII = "pii"
    INJECTION = "injection"
    INVISIBLE = "invisible"
    TERMINAL = "terminal"


class Action(enum.StrEnum):
    """What becomes of a find."""

    REMOVE = "remove"
    """It gives way to what its detector puts there: nothing, or a word such as `[redacted]`."""
    MASK = "mask"
    """Its characters are covered; its shape, or its last four, stay."""
    TOKENISE = "tokenise"
    """A placeholder stands for it, the same one each time, and can be turned back (`Placeholders`)."""
    FLAG = "flag"
    """It stays, and is reported."""
    BLOCK = "block"
    """Nothing of the text passes."""


class Hit(NamedTuple):
    """One match of a detector in the text it was given: `start` to `end` (exclusive), in code points.

    `anchor` is where the match begins that led to it, at `start` or before: of `password = …` the `p`. `replacement`
    is what stands there instead when it is removed. `reasons` say what made the score, in a few words each. `told` is
    where the account of it begins, when that is before `start`: of a word the whole, though a stream has passed on its
    beginning, which is right as it is.
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
"""A hit of all its parts: twice as fast as `Hit(…)`, for what may find one in every other character."""


@frozen
class Finding:
    """One thing found in a text.

    `start` and `end` (exclusive) are code points of the original text. `kind` is dotted below `category`
    (`secret.aws.access_key`, `invisible.bidi`). `score` runs from 0 (a guess) to 1 (certain by its form).
    `replacement` is what stands in the text instead; empty where the find was simply taken out, and where it stayed
    (`action` says which). `detector` is the name of what found it, `reasons` say what made the score.
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
    """A detector that raised an error. `error` is the name of the error's class: its words may quote the text."""

    detector: str
    error: str


@frozen
class Sanitized:
    """A text with what must not pass taken out, and the account of it in order of `start`.

    A secret that was broken up by invisible characters encloses the findings of those characters. A find around a
    place that another detector's find has is told in parts, one before that place and one behind.
    `omitted` counts finds beyond the policy's bound on findings: acted on, but not listed. A text that is `blocked`
    is empty. `failures` name the detectors that could not do their work.
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
    """What was found, without any of the text it was found in."""
    listed = tuple(findings)
    return Summary(
        counts=dict(Counter(finding.category.value for finding in listed)),
        findings=tuple({"kind": each.kind, "start": each.start, "end": each.end} for each in listed),
    )
