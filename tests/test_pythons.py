"""The Pythons that the packages claim to run on."""

import re
import subprocess
import sys

import pytest

from tests.pythons import MANIFESTS, ROOT, claimed, interpreter

VERSIONS = claimed(MANIFESTS[0])
TEMPLATE = "understudy/extensions/projects/template"
SHIPPED = ("deploy/Dockerfile", f"{TEMPLATE}/Dockerfile.txt", f"{TEMPLATE}/pyproject.toml.txt")
"""What says a Python: the image, and the project which `understudy new` begins."""


def test_all_packages_claim_the_same_pythons() -> None:
    """From the oldest that they require on, without a gap, and as the changelog says."""
    assert [f"3.{minor}" for minor in range(11, 11 + len(VERSIONS))] == VERSIONS
    assert len(VERSIONS) > 1
    for manifest in MANIFESTS:
        assert claimed(manifest) == VERSIONS, manifest
        assert f'requires-python = ">={VERSIONS[0]}"' in manifest.read_text()
    assert f"for Python {VERSIONS[0]} to {VERSIONS[-1]}." in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("file", SHIPPED)
def test_what_is_shipped_says_which_pythons_are_tested(file: str) -> None:
    """And begins with one of them."""
    text = (ROOT / file).read_text()
    assert f"{VERSIONS[0]} to {VERSIONS[-1]}" in text
    assert {*re.findall(r"(?:python:|>=)(3\.\d+)", text)} <= {*VERSIONS}


def test_an_interpreter_is_of_the_version_that_was_asked_for() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    path = interpreter(version)
    assert path is not None
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"Python {version}.")
    assert interpreter("2.99") is None
