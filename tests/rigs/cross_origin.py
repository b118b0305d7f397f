"""A page of another origin that a server lists, and what it may read."""

LISTED = "https://app.example.org"


def listed(value: str) -> set[str]:
    """Return the members of a list in a header."""
    return {member.strip().lower() for member in value.split(",")}


def readable(headers: dict[str, str]) -> None:
    """Check that a page of the listed origin may read the answer, and that no cache serves it to another origin."""
    assert headers["access-control-allow-origin"] == LISTED
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert {"retry-after", "content-disposition", "etag", "age"} <= listed(headers["access-control-expose-headers"])
    assert "access-control-allow-credentials" not in headers
    assert "origin" in listed(headers["vary"])
