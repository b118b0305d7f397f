"""Keys of providers, by where they are read from."""

from pathlib import Path

import pytest

from understudy.models.keys import MAX_KEY_BYTES, BadKey, read_key

NAME = "UNDERSTUDY_TEST_API_KEY"
KEY = "sk-test-not-a-real-key"


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (NAME, f"{NAME}_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def test_the_variable_goes_before_the_file_and_that_before_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_key(NAME) == ""
    (tmp_path / NAME).write_text("of-the-folder\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_key(NAME) == "of-the-folder"
    (tmp_path / "file").write_text("of-the-file")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "file"))
    assert read_key(NAME) == "of-the-file"
    monkeypatch.setenv(NAME, f" {KEY}\n")
    assert read_key(NAME) == KEY


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (f"{KEY}\n{KEY}".encode(), "is no key"),
        (f"{KEY}ü".encode(), "is no key"),
        (KEY.encode() * MAX_KEY_BYTES, "so it is no key"),
        (None, "cannot be read"),
    ],
)
def test_a_file_without_a_key_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(f"{NAME}_FILE", str(path))
    with pytest.raises(BadKey, match=says) as caught:
        read_key(NAME)
    assert str(path) in str(caught.value)
    assert KEY not in str(caught.value)
