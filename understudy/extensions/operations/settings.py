"""The setting of the observer."""

from attrs import frozen


@frozen
class ObserverSettings:
    """What operators may do to the tree."""

    kill: bool = False
    """Whether operators may kill actors; for tests only."""
