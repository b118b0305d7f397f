"""The ratchet of `tests/rooms.toml`, in small checkouts that break it."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import rooms
from tests.servers.needed import program

TABLE = """\
# Ceilings.

[lines]
"actors" = 100
"tests" = 2
"understudy/page/client" = 40

[words]
"docs/how-to" = 200

[classes]
large = [
]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout that fits its table."""
    subprocess.run([program("git"), "init", "--quiet", tmp_path], check=True)
    write(tmp_path, "actors/__init__.py", "\n" * 98 + "class Shop: ...\n")
    write(tmp_path, "understudy/page/client/views/list.js", "\n" * 40)
    write(tmp_path, "docs/how-to/serve.md", "word " * 199)
    write(tmp_path, "tests/test_shop.py", "\n\n")
    write(tmp_path, rooms.TABLE, TABLE)
    return tmp_path


def write(checkout: Path, path: str, text: str) -> None:
    """Write a file, and have git know it."""
    file = checkout / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    subprocess.run([program("git"), "add", path], cwd=checkout, check=True)


def told(checkout: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run the check. Return its sentences, which there are if and only if it fails."""
    code = rooms.main(list(arguments), checkout)
    lines = capsys.readouterr().out.splitlines()
    assert code == bool(lines)
    return lines


def test_a_checkout_that_fits_its_table_passes(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within 3 % below a ceiling; files that git does not know do not count."""
    (checkout / "actors" / "draft.py").write_text("\n" * 500)
    assert told(checkout, capsys) == []


def test_a_room_above_its_ceiling_fails(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(checkout, "understudy/page/client/list.css", "\n")
    (sentence,) = told(checkout, capsys)
    assert sentence.startswith("understudy/page/client has 41 lines, its ceiling is 40: take some away")
    assert told(checkout, capsys, "--lower") == [sentence]  # it never raises


def test_documentation_is_counted_in_words(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(checkout, "docs/how-to/stop.md", "two <!-- table: codes -->\nmade\n<!-- end --> words <!-- results -->\nmade")
    (sentence,) = told(checkout, capsys)
    assert sentence.startswith("docs/how-to has 201 words, its ceiling is 200:")


def test_a_room_far_below_its_ceiling_fails_until_that_is_lowered(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(checkout, "actors/__init__.py", "\n" * 96)
    (sentence,) = told(checkout, capsys)
    assert sentence.startswith("actors has 96 lines, far below its ceiling of 100: run `python -m tests.rooms --lower`")
    assert told(checkout, capsys, "--lower") == []
    text = (checkout / rooms.TABLE).read_text()
    assert text == TABLE.replace('"actors" = 100', '"actors" = 96').replace("= 200", "= 199")


def methods(count: int) -> str:
    """Return the code of a class with so many methods, of which two are one property."""
    code = "class Shop:\n    @property\n    def size(self): ...\n\n    @size.setter\n    def size(self, to): ...\n"
    return code + "".join(f"    def sell_{number}(self): ...\n" for number in range(count - 1))


def stored(count: int) -> str:
    """Return the code of a class with so many attributes, all but one of which its methods set."""
    code = "class Shop:\n    name: str\n\n    async def open(self, other):\n        self.name = other.name = ''\n"
    return code + "".join(f"        self.field_{number}, x = 1, 2\n" for number in range(count - 1))


@pytest.mark.parametrize(
    ("least", "most", "size"),
    [
        (methods(20), methods(21), "0 attributes and 21 methods"),
        (stored(15), stored(16), "16 attributes and 1 methods"),
    ],
)
def test_a_class_that_becomes_large_fails(
    checkout: Path, capsys: pytest.CaptureFixture[str], least: str, most: str, size: str
) -> None:
    for code, sentences in ((least, 0), (most, 1)):
        write(checkout, "actors/__init__.py", "\n" * (100 - code.count("\n")) + code)
        assert len(told(checkout, capsys)) == sentences
    (sentence,) = told(checkout, capsys)
    assert sentence.startswith(f"actors/__init__.py:Shop has {size}: divide it")
    assert told(checkout, capsys, "--lower") == [sentence]  # it never adds


def test_a_class_that_is_no_longer_large_is_taken_off_the_list(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / rooms.TABLE).write_text(TABLE.replace("large = [", 'large = [\n  "actors/__init__.py:Shop",'))
    (sentence,) = told(checkout, capsys)
    assert sentence.startswith("actors/__init__.py:Shop is no longer large: run `python -m tests.rooms --lower`")
    assert told(checkout, capsys, "--lower") == []
    assert tomllib.loads((checkout / rooms.TABLE).read_text())["classes"] == {"large": []}


def test_a_folder_without_an_entry_and_an_entry_without_a_folder_fail(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(checkout, "analyst/charts/spec.py", "\n" * 7)
    (checkout / "understudy/page/client/views/list.js").unlink()
    new, gone = told(checkout, capsys)
    assert new == 'analyst has no ceiling: add `"analyst" = 7` to [lines] in tests/rooms.toml.'
    assert gone.startswith("understudy/page/client has 0 lines, far below its ceiling of 40")
    assert told(checkout, capsys, "--lower") == [new]
    assert "understudy" not in (checkout / rooms.TABLE).read_text()
