"""A clock of the tests' own."""

from attrs import define


@define
class Clock:
    """Unix seconds that stand still until a test sets them."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """What time it is."""
        return self.now
