"""What to look for and what to let through, as data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import evolve, field, frozen

from .findings import Category

# Findings listed for one text. A megabyte of control characters would otherwise become a million objects.
MAX_FINDINGS: Final = 1_000


@frozen
class Policy:
    """The settings of a scrubber.

    `categories` are looked for in text; `threshold` is the least score that is replaced and reported.
    `image_hosts` are the hosts (`img.example.org`, with a port where it is not the scheme's own) whose images may
    be shown beside the page's own and inline ones; any other image tells its host what is being read. `classes`
    are the class names that markup may keep, by tag. `max_findings` bounds the account, not the scrubbing.
    """

    categories: frozenset[Category] = frozenset()
    threshold: float = 0.5
    image_hosts: frozenset[str] = frozenset()
    classes: Mapping[str, frozenset[str]] = field(factory=lambda: MappingProxyType({}))
    max_findings: int = MAX_FINDINGS

    def with_classes(self, classes: Mapping[str, frozenset[str]]) -> "Policy":
        """This policy, letting these class names stand in markup."""
        return evolve(self, classes=MappingProxyType(dict(classes)))

    def with_image_hosts(self, *hosts: str) -> "Policy":
        """This policy, letting images from these hosts be shown."""
        return evolve(self, image_hosts=frozenset(host.lower() for host in hosts))


STANDARD: Final = Policy(categories=frozenset({Category.TERMINAL, Category.INVISIBLE, Category.SECRET}))

# Text passes as it is. Markup is made safe all the same: there is no policy under which it is not.
OFF: Final = Policy()
