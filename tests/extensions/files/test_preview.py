"""Previews of files: what the content is, not what it is called."""

import pytest

from understudy.extensions.files.preview import HEAD_BYTES, FilePreview, preview_of


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n....", "image"),
        ("a.png", b"not a picture", "text"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image"),
        ("a.html", b"<svg><script>x</script></svg>", "text"),
        ("a.csv", b"a;b\n1;2\n", "table"),
        ("a.json", b'[{"a": 1}, {"b": null}]', "table"),
        ("a.json", b'[{"a": {"b": 1}}]', "text"),
        ("a.json", b"[" * 90_000, "text"),
        ("a.bin", bytes(range(256)), "none"),
        ("a.csv", b'"' + b"x" * 200_000, "text"),
        ("a.txt", "größer".encode("cp1252"), "text"),
        ("a.txt", "größer".encode("utf-16"), "text"),
        ("empty", b"", "text"),
    ],
)
def test_the_kind_of_a_file_is_that_of_its_content(name: str, content: bytes, kind: str) -> None:
    assert preview_of(name, content, len(content)).kind == kind


def test_a_head_that_ends_within_a_character_or_a_row_loses_only_that() -> None:
    head = "name,n\nä,1\nö".encode()[:-1]
    assert preview_of("a.csv", head, HEAD_BYTES * 2).rows == [["ä", "1"]]
    text = FilePreview("text", text="name,n\nä,1\n", language="text", cut=True)
    assert preview_of("a.txt", head, HEAD_BYTES * 2) == text


def test_a_number_that_javascript_cannot_hold_is_a_text() -> None:
    head = b'[{"a": 9007199254740991, "b": 9007199254740992, "c": 1e3, "d": true}]'
    assert preview_of("a.json", head, len(head)).rows == [[2**53 - 1, str(2**53), 1000.0, True]]
