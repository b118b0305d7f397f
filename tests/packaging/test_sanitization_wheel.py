"""The package's own wheel: contents, requirements, and use without other packages."""

import subprocess
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest

from tests.packaging.wheels import ROOT, SOURCES, build_wheels, metadata_of, runner

pytestmark = pytest.mark.proof("packaging")

SOURCE = SOURCES["sanitization"]
NEEDED = ("attr", "attrs", "nh3", "re2")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAM = """
import importlib, importlib.util, pkgutil, sys

for other in ("actors", "transport", "understudy", "trio", "cattrs", "structlog"):
    assert importlib.util.find_spec(other) is None, other

import sanitization

assert sanitization.__file__.startswith(sys.path[0]), sanitization.__file__
for module in pkgutil.walk_packages(sanitization.__path__, "sanitization."):
    importlib.import_module(module.name)

from sanitization import PRESETS, Sanitizer, policy_from_toml

secret = "gh" + "p_" + "a1B2c3D4e5F6" * 3
for policy in (*PRESETS.values(), policy_from_toml('preset = "off"\\n[outbound]\\nsecret = "mask"')):
    print(Sanitizer(policy).sanitize(f"use {secret} and a < b").text.replace(secret, "SECRET"))
print(Sanitizer().sanitize_html("<b onclick=x()>a < b</b>").text)
"""


@pytest.fixture(scope="module")
def wheel(filled_once: Callable[[Callable[[Path], None]], Path]) -> Iterator[zipfile.ZipFile]:
    (path,) = filled_once(build_wheels).glob("understudy_sanitization-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return metadata_of(wheel)


@pytest.fixture(scope="module")
def alone(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return runner(wheel, NEEDED, tmp_path_factory.mktemp("alone"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = [PurePosixPath(name) for name in wheel.namelist()]
    held = {str(name) for name in names if name.parts[0] == "sanitization"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "sanitization").rglob("*.py")}
    assert held == modules | {"sanitization/py.typed", "sanitization/detectors/injection/classifier.txt"}
    rest = [name for name in names if name.parts[0] != "sanitization"]
    assert all(name.parts[0].endswith(".dist-info") for name in rest)
    assert sorted(name.name for name in rest) == ["LICENSE", "METADATA", "RECORD", "WHEEL"]


def test_the_wheel_needs_attrs_re2_and_nh3_only(metadata: Message) -> None:
    """Presidio is an extra; all version ranges are those of the server."""
    needs = metadata.get_all("Requires-Dist") or []
    assert needs == [
        "attrs>=25.1",
        "google-re2>=1.1",
        "nh3>=0.3",
        "presidio-analyzer>=2.2.360; extra == 'presidio'",
    ]
    assert metadata.get_all("Provides-Extra") == ["presidio"]
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "attrs>=25.1" in server["dependencies"]
    for name, value in (
        ("Version", "version"),
        ("Requires-Python", "requires-python"),
        ("License-Expression", "license"),
    ):
        assert metadata[name] == server[value]


def test_the_wheel_works_alone(alone: Run) -> None:
    done = alone(PROGRAM)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "use [redacted] and a < b",
        "use [redacted] and a < b",
        "use SECRET and a < b",
        f"use {'•' * 3}_{'•' * 36} and a < b",
        "<b>a &lt; b</b>",
    ]


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, ["a < b, and the password is [redacted]", "secret.password 27 35", "terminal.csi 35 39"]),
        (1, ["'The '", "''", "'password is [redacted] Do not '", "''", "'tell.'"]),
    ],
)
def test_the_programs_a_reader_meets_first_work(alone: Run, number: int, printed: list[str]) -> None:
    text = (SOURCE / "README.md").read_text()
    program = text.split("```python\n")[number + 1].partition("```")[0]
    done = alone(program)
    assert (done.stderr, done.stdout.splitlines()) == ("", printed)
