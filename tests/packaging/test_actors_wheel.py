import subprocess
import sys
import tomllib
import zipfile
from pathlib import PurePosixPath

import pytest

from tests.packaging.wheels import ROOT, build_wheels, metadata_of, runner
from tests.rigs.nested import LEAN

pytestmark = pytest.mark.proof("packaging")

NEEDED = ("trio", "attr", "attrs", "outcome", "sniffio", "sortedcontainers", "idna")
"""trio, attrs, and what trio needs on POSIX."""

PROGRAM = """
import importlib, importlib.util, pkgutil, sys

for other in ("transport", "sanitization", "understudy", "trio_asyncio", "pytest"):
    assert importlib.util.find_spec(other) is None, other

import trio
import actors

assert actors.__file__.startswith(sys.path[0]), actors.__file__
for module in pkgutil.walk_packages(actors.__path__, "actors."):
    if module.name.rpartition(".")[2] not in ("plugin", "__main__"):
        importlib.import_module(module.name)

from actors.interop.threads import run_in_thread


class Read(actors.Ask[int]):
    pass


class Counter(actors.Actor):
    async def on_start(self, context):
        self.seen = await run_in_thread(divmod, 7, 2, timeout_s=5)

    async def receive(self, message, context):
        if isinstance(message, Read):
            message.reply((context.incarnation, self.seen))
        else:
            raise ValueError("boom")


async def main():
    events = []
    async with actors.open_system("s", [actors.ChildSpec("counter", Counter)], on_event=events.append) as system:
        (counter,) = system.root.children()
        print(await counter.ask(Read()))
        counter.tell("crash")
        print(await counter.ask(Read()))
    print(*[type(event).__name__ for event in events])


trio.run(main)
"""


@pytest.fixture(scope="module")
def wheel(filled_once):
    (path,) = filled_once(build_wheels).glob("understudy_actors-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    return metadata_of(wheel)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = [PurePosixPath(name) for name in wheel.namelist()]
    code = {str(name) for name in names if name.parts[0] == "actors"}
    assert code == {str(path.relative_to(ROOT)) for path in (ROOT / "actors").rglob("*.py")} | {"actors/py.typed"}
    rest = [name for name in names if name.parts[0] != "actors"]
    assert all(name.parts[0].endswith(".dist-info") for name in rest)
    assert sorted(name.name for name in rest) == ["LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt"]


def test_the_wheel_needs_trio_and_attrs_only(metadata):
    needs = metadata.get_all("Requires-Dist")
    assert needs == ["attrs>=25.1", "trio>=0.31"]
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(needs) <= set(server["dependencies"])
    for name, value in (
        ("Version", "version"),
        ("Requires-Python", "requires-python"),
        ("License-Expression", "license"),
    ):
        assert metadata[name] == server[value]


def test_the_wheel_brings_the_pytest_plugin(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert wheel.read(name).decode().split() == ["[pytest11]", "actors.testing.plugin", "=", "actors.testing.plugin"]
    assert "actors/testing/plugin.py" in wheel.namelist()


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


@pytest.mark.parametrize("conftest", ["", 'pytest_plugins = ["actors.testing.plugin"]'])
def test_the_plugin_is_there_once_whether_a_conftest_names_it_or_not(site, tmp_path, conftest):
    """The wheel registers it; a checkout's conftest may name it as well."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "conftest.py").write_text(conftest)
    (project / "test_it.py").write_text(
        "def test_it(pytestconfig):\n"
        "    plugins = pytestconfig.pluginmanager.get_plugins()\n"
        "    names = [getattr(plugin, '__name__', '') for plugin in plugins]\n"
        "    assert names.count('actors.testing.plugin') == 1\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        *LEAN,
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(project),
        str(project),
    ]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=project, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory):
    return runner(wheel, NEEDED, tmp_path_factory.mktemp("alone"))


def test_the_wheel_works_alone(alone):
    done = alone(PROGRAM)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "(1, (3, 1))",
        "(2, (3, 1))",
        "ActorStarted ActorStarted ActorCrashed ActorRestarting ActorStarted ActorStopped ActorStopped",
    ]


def test_the_first_program_a_reader_meets_works(alone):
    text = (ROOT / "packaging/actors/README.md").read_text()
    program = text.partition("```python\n")[2].partition("```")[0]
    done = alone(program)
    assert (done.stdout, done.stderr) == ("2\n", "")
