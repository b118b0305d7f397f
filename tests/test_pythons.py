"""The Pythons that the packages claim to run on."""

import subprocess
import sys

from tests.pythons import LIBRARIES, ROOT, claimed, interpreter, manifest_of

PRODUCT = ROOT / "pyproject.toml"


def test_the_libraries_claim_the_same_pythons() -> None:
    """From the oldest that they require on, without a gap, and at least those of the product."""
    versions = claimed(manifest_of(LIBRARIES[0]))
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]
    assert len(versions) > 1
    assert set(claimed(PRODUCT)) <= set(versions)
    for library in LIBRARIES:
        assert claimed(manifest_of(library)) == versions, library
    for manifest in (PRODUCT, *map(manifest_of, LIBRARIES)):
        assert f'requires-python = ">={versions[0]}"' in manifest.read_text()


def test_what_is_shipped_runs_on_a_python_that_is_claimed() -> None:
    """The image, and that of the project which `understudy new` begins."""
    for file in ("deploy/Dockerfile", "understudy/extensions/projects/template/Dockerfile.txt"):
        assert (ROOT / file).read_text().partition("python:")[2].partition("-")[0] in claimed(PRODUCT), file


def test_an_interpreter_is_of_the_version_that_was_asked_for() -> None:
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    path = interpreter(own)
    assert path is not None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"Python {own}.")
    assert interpreter("2.99") is None
