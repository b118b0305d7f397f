"""Policies: which categories to look for, in which direction, and the action for each."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from .findings import Action, Category

# Findings listed for one text. A megabyte of control characters could become a million objects.
MAX_FINDINGS: Final = 1_000


class Direction(enum.StrEnum):
    """The direction of a text."""

    INBOUND = "inbound"
    """From a user, before a model or a log has it."""
    TOOL = "tool"
    """From a tool, a page or a file, before a model has it."""
    OUTBOUND = "outbound"
    """From an agent, before a browser has it."""


class Mask(enum.StrEnum):
    """How much of a masked find remains visible."""

    SHAPE = "shape"
    """Which characters were letters, digits and signs."""
    LAST_FOUR = "last_four"
    """The shape, and the last four letters or digits of at least twelve."""


class Failing(enum.StrEnum):
    """The treatment of a text that a detector failed on."""

    BLOCK = "block"
    """The whole text is withheld."""
    MARK = "mark"
    """It passes without the finds of the other detectors, and a finding `<category>.unread` marks where reading
    stopped.
    """


Rules = Mapping[Category, Action]
"""The action for each category; a missing category is not scanned for."""

_NONE: Final[Rules] = MappingProxyType({})


def _rules(rules: Rules) -> Rules:
    return MappingProxyType(dict(rules))


@frozen
class Policy:
    """The settings of a sanitizer.

    `inbound`, `tool` and `outbound` have the action for each category in that direction. `kinds` has exceptions for
    kinds and all below them (`pii.email`, or `secret.aws`); None lets such a kind pass. `threshold` is the least score
    that counts. `allow` are texts that are never finds (`support@example.org`), compared exactly.

    `link_hosts` are hosts that links in text may carry data to. `image_hosts` are the hosts (`img.example.org`, with a
    port unless it is the scheme's own) whose images may be shown beside the page's own and inline ones; any other image
    discloses to its host that the text is being read. `classes` are the class names that markup may keep, by tag.
    `masks` has the mask of kinds that are not masked by shape. `failing` applies if a detector raises an error.
    `max_findings` bounds the listed findings, not the redaction.
    """

    inbound: Rules = field(default=_NONE, converter=_rules)
    tool: Rules = field(default=_NONE, converter=_rules)
    outbound: Rules = field(default=_NONE, converter=_rules)
    kinds: Mapping[str, Action | None] = field(factory=lambda: MappingProxyType({}))
    threshold: float = 0.5
    allow: frozenset[str] = frozenset()
    link_hosts: frozenset[str] = frozenset()
    image_hosts: frozenset[str] = frozenset()
    classes: Mapping[str, frozenset[str]] = field(factory=lambda: MappingProxyType({}))
    masks: Mapping[str, Mask] = field(factory=lambda: MappingProxyType({}))
    failing: Failing = Failing.BLOCK
    max_findings: int = MAX_FINDINGS

    def rules(self, direction: Direction) -> Rules:
        """Return the action for each category in this direction."""
        match direction:
            case Direction.INBOUND:
                return self.inbound
            case Direction.TOOL:
                return self.tool
            case _:
                return self.outbound


def everywhere(rules: Rules) -> Policy:
    """Return a policy with the same rules in every direction."""
    return Policy(inbound=rules, tool=rules, outbound=rules)


_HIDDEN: Final = {Category.TERMINAL: Action.REMOVE, Category.INVISIBLE: Action.REMOVE}
_KEPT_OUT: Final = {**_HIDDEN, Category.SECRET: Action.REMOVE}

# Users may write about themselves, and answers may repeat it. Apparent orders to the model are only flagged, because
# text about such orders looks alike.
STANDARD: Final = Policy(
    inbound={**_KEPT_OUT, Category.PII: Action.FLAG, Category.INJECTION: Action.FLAG},
    tool={**_KEPT_OUT, Category.PII: Action.FLAG, Category.INJECTION: Action.FLAG, Category.MARKUP: Action.REMOVE},
    outbound={**_KEPT_OUT, Category.PII: Action.FLAG, Category.MARKUP: Action.REMOVE},
)

# An order that only the classifier finds is a guess by its words: it is flagged, and blocks nothing.
STRICT: Final = Policy(
    inbound={
        **_KEPT_OUT,
        Category.PII: Action.TOKENISE,
        Category.INJECTION: Action.BLOCK,
        Category.MARKUP: Action.REMOVE,
    },
    tool={**_KEPT_OUT, Category.PII: Action.MASK, Category.INJECTION: Action.REMOVE, Category.MARKUP: Action.REMOVE},
    outbound={**_KEPT_OUT, Category.PII: Action.MASK, Category.INJECTION: Action.FLAG, Category.MARKUP: Action.REMOVE},
    kinds=MappingProxyType({"injection.likely": Action.FLAG}),
)

# Text passes unchanged. Markup is made safe under every policy.
OFF: Final = Policy()

PRESETS: Final[Mapping[str, Policy]] = MappingProxyType({"strict": STRICT, "standard": STANDARD, "off": OFF})
