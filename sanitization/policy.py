"""What to look for, in which direction, and what becomes of it: data."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, field, frozen

from .findings import Action, Category

# Findings listed for one text. A megabyte of control characters would otherwise become a million objects.
MAX_FINDINGS: Final = 1_000


class Direction(enum.StrEnum):
    """Which way a text goes."""

    INBOUND = "inbound"
    """From a user, before a model or a log has it."""
    TOOL = "tool"
    """From a tool, a page or a file, before a model has it."""
    OUTBOUND = "outbound"
    """From an agent, before a browser has it."""


class Mask(enum.StrEnum):
    """How much a masked find still shows."""

    SHAPE = "shape"
    """Where letters, digits and signs stood."""
    LAST_FOUR = "last_four"
    """The shape, and the last four letters or digits of at least twelve."""


class Failing(enum.StrEnum):
    """What becomes of a text that a detector could not read to its end."""

    BLOCK = "block"
    """Nothing of it passes."""
    MARK = "mark"
    """It passes with what the other detectors took out, and a finding `<category>.unread` marks where it was not
    read."""


Rules = Mapping[Category, Action]
"""What becomes of the finds of a category; one that is missing is not looked for."""

_NONE: Final[Rules] = MappingProxyType({})


def _rules(rules: Rules) -> Rules:
    return MappingProxyType(dict(rules))


@frozen
class Policy:
    """The settings of a sanitizer.

    `inbound`, `tool` and `outbound` say what becomes of each category in that direction. `kinds` has exceptions for
    kinds and all below them (`pii.email`, or `secret.aws`); None lets such a kind pass. `threshold` is the least score
    that counts. `allow` are texts that are never finds (`support@example.org`), compared as they are written.

    `link_hosts` are hosts that links in text may lead to with data in them; `image_hosts` are the hosts
    (`img.example.org`, with a port where it is not the scheme's own) whose images may be shown beside the page's own
    and inline ones; any other image tells its host what is being read. `classes` are the class names that markup may
    keep, by tag. `masks` say how kinds are masked, where it is not by their shape. `failing` is what happens when a
    detector raises an error. `max_findings` bounds the account, not the scrubbing.
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
        """What becomes of each category in this direction."""
        match direction:
            case Direction.INBOUND:
                return self.inbound
            case Direction.TOOL:
                return self.tool
            case _:
                return self.outbound

    def with_classes(self, classes: Mapping[str, frozenset[str]]) -> "Policy":
        """This policy, letting these class names stand in markup."""
        return evolve(self, classes=MappingProxyType(dict(classes)))

    def with_image_hosts(self, *hosts: str) -> "Policy":
        """This policy, letting images from these hosts be shown."""
        return evolve(self, image_hosts=frozenset(host.lower() for host in hosts))


def everywhere(rules: Rules) -> Policy:
    """The same rules in every direction."""
    return Policy(inbound=rules, tool=rules, outbound=rules)


_HIDDEN: Final = {Category.TERMINAL: Action.REMOVE, Category.INVISIBLE: Action.REMOVE}
_KEPT_OUT: Final = {**_HIDDEN, Category.SECRET: Action.REMOVE}

# People may write of themselves, and answers may repeat it; what looks like an order to the model is pointed out, since
# text that only talks of such orders looks alike.
STANDARD: Final = Policy(
    inbound={**_KEPT_OUT, Category.PII: Action.FLAG, Category.INJECTION: Action.FLAG},
    tool={**_KEPT_OUT, Category.PII: Action.FLAG, Category.INJECTION: Action.FLAG, Category.MARKUP: Action.REMOVE},
    outbound={**_KEPT_OUT, Category.PII: Action.FLAG, Category.MARKUP: Action.REMOVE},
)

# What only the classifier takes for an order is a guess by its words: it is pointed out, and refuses nothing.
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

# Text passes as it is. Markup is made safe all the same: there is no policy under which it is not.
OFF: Final = Policy()

PRESETS: Final[Mapping[str, Policy]] = MappingProxyType({"strict": STRICT, "standard": STANDARD, "off": OFF})
