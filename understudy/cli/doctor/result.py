"""The result of a check of `understudy doctor`."""

from attrs import frozen

from understudy.storage.schema import HEAD, is_behind


@frozen
class CheckResult:
    """The result of one check. `state` is `ok`, `note` (works, worth knowing) or `mend` (must be fixed)."""

    name: str
    state: str
    text: str


def describe_schema(version: str | None) -> str:
    """Describe the schema version of a database; None for one without tables."""
    if version is None:
        return "no tables yet; the first start makes them"
    if is_behind(version):
        return "an older schema, which the next start brings up to date"
    return "schema up to date" if version == HEAD else "the schema of a later release, which this one can use"
