"""The result of a check of `understudy doctor`; extensions have checks of their settings."""

from attrs import frozen


@frozen
class CheckResult:
    """The result of one check. `state` is `ok`, `note` (works, worth knowing) or `mend` (must be fixed)."""

    name: str
    state: str
    text: str
