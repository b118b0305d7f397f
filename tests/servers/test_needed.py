"""Programs of the machine are found, left out, or missing; every ask is recorded."""

from pathlib import Path

import pytest

from tests.servers import fixtures, needed
from tests.servers.needed import PROGRAMS, Program, found, program


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose PATH has one empty folder, outside of CI, and that has `made`, `broken` (one binary of two) and
    `user`, which runs `made`.
    """
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TEST_WITHOUT", raising=False)
    monkeypatch.setattr(needed, "ASKED", set())
    for name, described in {
        "made": Program(("made", "made-too"), "made-package"),
        "user": Program(("user",), "user-package", folders=(f"{tmp_path}/lib/*/bin",), needs=("made",)),
    }.items():
        monkeypatch.setitem(PROGRAMS, name, described)


def install(folder: Path, *names: str) -> None:
    """Write programs of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch(mode=0o755)


def test_a_program_that_is_installed_is_found(tmp_path: Path) -> None:
    install(tmp_path / "bin", "made", "made-too")
    assert program("made") == found("made") == tmp_path / "bin" / "made"
    assert program("made", "made-too") == tmp_path / "bin" / "made-too"


def test_the_newest_version_is_found_before_the_path(tmp_path: Path) -> None:
    """By its number: 10 is newer than 9."""
    install(tmp_path / "bin", "made", "made-too", "user")
    install(tmp_path / "lib" / "9" / "bin", "user")
    install(tmp_path / "lib" / "10" / "bin", "user")
    assert program("user") == tmp_path / "lib" / "10" / "bin" / "user"


def test_a_program_without_all_of_its_binaries_is_missing(tmp_path: Path) -> None:
    install(tmp_path / "bin", "made")
    assert found("made") is None


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_a_program_or_one_that_it_needs_a_test_is_skipped_and_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    install(tmp_path / "bin", "user")
    monkeypatch.setenv("CI", ci)
    for name in ("made", "user"):
        assert found(name) is None
        with pytest.raises(outcome, match=r"no made on .*apt-get install made-package\)"):
            program(name)


@pytest.mark.parametrize("ci", ["", "1"])
@pytest.mark.parametrize("names", ["made", "redis, made", "all"])
def test_a_program_that_is_left_out_skips_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, names: str
) -> None:
    """Also in CI, and with what needs it, although both are installed."""
    install(tmp_path / "bin", "made", "made-too", "user")
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TEST_WITHOUT", names)
    for name in ("made", "user"):
        assert found(name) is None
        with pytest.raises(pytest.skip.Exception, match=r"without .*\bmade \(TEST_WITHOUT\)"):
            program(name)


def test_the_others_are_found_if_one_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", "made", "made-too", "user")
    monkeypatch.setenv("TEST_WITHOUT", "user")
    assert program("made") == tmp_path / "bin" / "made"


def test_an_unknown_name_ends_the_run(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    monkeypatch.setenv("TEST_WITHOUT", "made,mead")
    with pytest.raises(pytest.UsageError, match="TEST_WITHOUT names mead; known are all, chromium, "):
        fixtures.pytest_configure(pytestconfig)


def test_every_ask_is_recorded_with_the_file_of_its_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the programs that it needs, also if they are missing."""
    install(tmp_path / "bin", "made", "made-too")
    found("user")
    program("made")
    assert {(name, "tests/servers/test_needed.py") for name in ("made", "user")} == needed.ASKED
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    found("made")
    assert ("made", "") in needed.ASKED


@pytest.fixture(scope="module")
def server() -> None:
    """Stand for a server."""


@pytest.fixture(scope="module")
def database(server: None) -> None:
    """Stand for a database of that server."""


@pytest.mark.parametrize("_", ["first", "again"])
def test_a_test_needs_the_programs_of_each_server_that_it_gets(
    _: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Also of one that it gets at work, for another fixture, and that runs already."""
    monkeypatch.setattr(fixtures, "PROGRAMS", {"server": ("made",)})
    assert fixtures.programs_of(request) == []
    request.getfixturevalue("database")
    assert fixtures.programs_of(request) == ["made"]
