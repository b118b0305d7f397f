"""The setting of shares."""

from attrs import field, frozen

from understudy.extension import SHOWN


@frozen
class ShareSettings:
    """Whether users may share conversations."""

    links: bool = field(default=False, metadata={SHOWN: True})
    """Whether users may make links by which anybody who has one reads a conversation; switched off, no link works."""
