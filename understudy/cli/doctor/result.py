"""What `understudy doctor` says of one thing that it looked at."""

from attrs import frozen

from understudy.storage.schema import HEAD, is_behind


@frozen
class CheckResult:
    """One thing that was looked at. `state` is `ok`, `note` (works, worth knowing) or `mend`."""

    name: str
    state: str
    text: str


def describe_schema(version: str | None) -> str:
    """How far the schema of a database is, None for one without tables."""
    if version is None:
        return "no tables yet; the first start makes them"
    if is_behind(version):
        return "an older schema, which the next start brings up to date"
    return "schema up to date" if version == HEAD else "the schema of a later release, which this one can use"
