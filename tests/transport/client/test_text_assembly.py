"""The text of an answer from its pieces."""

from hypothesis import given
from hypothesis import strategies as st

from transport.client.text_assembly import TextAssembly
from transport.wire.events import PartialResult


def played(pieces: list[PartialResult], texts: TextAssembly | None = None) -> list[PartialResult]:
    texts = texts or TextAssembly()
    return [news for piece in pieces if (news := texts.add_piece("r", piece)) is not None]


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30)), max_size=40))
def test_pieces_of_a_text_make_a_beginning_of_it(whole: str, cuts: list[tuple[int, int]]) -> None:
    """Pieces cut anywhere, overlapping, repeated, with gaps: the text is a prefix, and the new parts make it up."""
    texts, mine = TextAssembly(), ""
    for start, length in cuts:
        text = texts.get("r")
        news = texts.add_piece("r", PartialResult(whole[start : start + length], start))
        if news is not None:
            mine = mine[: news.offset] + news.text
        assert whole.startswith(texts.get("r"))
        assert mine == texts.get("r")
        if 0 < start <= len(text):
            assert len(texts.get("r")) == max(len(text), min(start + length, len(whole)))


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 30))
def test_a_piece_replaces_the_text_from_its_offset(first: str, second: str, offset: int) -> None:
    texts = TextAssembly()
    texts.add_piece("r", PartialResult(first, 0))
    news = texts.add_piece("r", PartialResult(second, offset))
    if offset > len(first):
        assert news is None
        assert texts.get("r") == first
    elif offset and first.startswith(second, offset):
        assert texts.get("r") == first
    else:
        assert texts.get("r") == first[:offset] + second
    if news is not None:
        assert first[: news.offset] + news.text == texts.get("r")


def test_a_snapshot_replaces_and_only_what_is_new_is_told() -> None:
    texts = TextAssembly()
    news = played([PartialResult(text, 0) for text in ("abc", "abc", "abcde", "ab", "xy", "")], texts)
    assert [(piece.offset, piece.text) for piece in news] == [(0, "abc"), (3, "de"), (2, ""), (0, "xy"), (0, "")]
    assert texts.get("r") == ""


def test_the_oldest_go() -> None:
    texts = TextAssembly(max_texts=2, max_characters=10)
    for name in ("a", "b"):
        texts.set_text(name, name * 4)
    texts.add_piece("a", PartialResult("c", 4))
    texts.set_text("d", "d")
    assert [texts.get(name) for name in "abd"] == ["aaaac", "", "d"]
    texts.set_text("e", "e" * 8)
    assert [texts.get(name) for name in "ade"] == ["", "d", "e" * 8]
    texts.set_text("f", "f" * 11)
    assert texts.get("f") == ""
    texts.set_text("g", "g" * 10)
    assert texts.get("g") == "g" * 10


def test_nothing_comes_after_the_end() -> None:
    texts = TextAssembly()
    texts.add_piece("r", PartialResult("abc", 0))
    texts.finish_text("r", "abc def")
    assert texts.add_piece("r", PartialResult("ab", 0)) is None
    assert texts.add_piece("r", PartialResult("more", 7)) is None
    assert texts.get("r") == "abc def"
