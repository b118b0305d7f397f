"""Packages whose inside is used have a range of releases in the manifests, and the pinned release lies in it."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[1]
MANIFESTS: Final = (ROOT / "pyproject.toml", *sorted(ROOT.glob("packaging/*/pyproject.toml")))
REACHED_INTO: Final = {
    "a2a-sdk": "its types, of which a release may rename fields",
    "anthropic": "its stream, whose answer may be one object",
    "h11": "its connection, for HTTP/1 by hand",
    "hypercorn": "its protocols and its worker, which are not documented",
    "mcp": "its sessions and its server below the documented one",
    "mcp-types": "its shapes",
    "openai": "its stream, whose answer may be one object",
    "quart": "its response",
    "quart-trio": "its application",
    "trio-websocket": "its connection, of which a client's reader is made",
    "websockets": "its protocol without I/O, of which no release promises the names",
    "werkzeug": "its parser of forms without I/O",
    "wsproto": "its connection, for the command line's client",
}
"""Each with what of it is used."""


def requirements() -> Iterator[Requirement]:
    """Yield the requirements of all manifests, with those of extras."""
    for manifest in MANIFESTS:
        project = tomllib.loads(manifest.read_text())["project"]
        for requirement in (project.get("dependencies", ()), *project.get("optional-dependencies", {}).values()):
            yield from map(Requirement, requirement)


@pytest.mark.parametrize("name", REACHED_INTO)
def test_a_package_that_is_reached_into_has_a_range(name: str) -> None:
    """No release that nobody has tried is installed by itself."""
    required = [requirement for requirement in requirements() if requirement.name == name]
    assert required
    for need in required:
        bounded = any(spec.operator in ("<", "<=", "~=") or spec.version.endswith(".*") for spec in need.specifier)
        assert bounded, f"{need} has no upper bound"
        assert version(name) in need.specifier
