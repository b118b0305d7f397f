"""Search: by words, in any alphabet, the same in both databases, and never in somebody else's messages."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.database import Book, Make
from understudy.storage import queries
from understudy.storage.database import Database
from understudy.storage.fulltext import LONGEST_WORD, MOST_ASKED, for_fts5, for_tsquery, mark, searchable
from understudy.storage.thread_writes import delete_thread

SAID = {
    "german": "Die Straße war überflutet, viel ÄRGER im Büro", "code": "call order_total(a, b) in utils.py; x = 100%",
    "japanese": "東京都の天気は晴れです", "korean": "오늘 날씨가 좋습니다", "russian": "Ёлка стоит в углу",
    "hindi": "नमस्ते दुनिया",
    "thai": "สวัสดีครับ", "quotes": "it's \"quoted\" AND (parenthesised) NOT near* ^up -minus :colon 'single' \\ back",
    "emoji": "great 🎉 party",
}  # fmt: skip


ASKED = {
    "strasse": {"german"},
    "STRASSE": {"german"},
    "arger": {"german"},
    "Ärger buro": {"german"},
    "überfl": {"german"},  # the beginning of a word
    "flutet": set(),  # not its end
    "Ärger weather": set(),  # all the words
    "order total": {"code"},
    "order_total": {"code"},
    "utils.py": {"code"},
    "100": {"code"},
    "天気": {"japanese"},
    "京都": {"japanese"},
    "晴": {"japanese"},
    "東都": set(),
    "날씨": {"korean"},
    "елка": {"russian"},
    "ЁЛКА углу": {"russian"},
    "नमस्ते": {"hindi"},
    "สวัสดี": {"thai"},
    "it's": {"quotes"},
    '"quoted" AND (paren': {"quotes"},
    "near* ^up -minus :colon": {"quotes"},
    "'single' \\": {"quotes"},
    "party 🎉": {"emoji"},
    "🎉": set(),  # nothing in it is a word, and no title has it
    "'": set(),
    '"': set(),
    "*": set(),
    "a" * 5000: set(),
    "hello": set(SAID),  # what every thread was opened with
}


@pytest.fixture
def book(database: Database, make: Make) -> Iterator[Book]:
    book = Book(database)
    for number, (name, text) in enumerate(SAID.items()):
        message = make.message("ann", name, f"said-{name}", content=text)
        opening = make.opening("ann", name, f"r{number}", title="-")
        assert book.write(opening, make.change("ann", name, messages=(message,))) == [True, True]
    yield book
    book.connection.close()


def threads_with(book: Book, query: str, owner: str = "ann") -> set[str]:
    return {thread.id for thread in book.read(queries.threads, owner, query, None, 50).items}


def test_words_are_found(book: Book) -> None:
    assert {query: threads_with(book, query) for query in ASKED} == ASKED


def test_messages_of_others_are_not_found(book: Book, make: Make) -> None:
    assert book.write(make.opening("bob", "t1", "rb")) == [True]
    assert threads_with(book, "strasse", owner="bob") == set()
    assert threads_with(book, "hello", owner="bob") == {"t1"}
    for typed in (mark("ann"), f"{mark('ann')} strasse", f'" OR text:{mark("ann")}'):
        assert threads_with(book, typed, owner="bob") == set()


def test_deleted_messages_are_not_found(book: Book, make: Make) -> None:
    assert book.write(delete_thread("ann", "german")) == [True]
    assert threads_with(book, "strasse") == set()
    again = make.message("ann", "german", "said-again", content="ganz anders")
    assert book.write(make.opening("ann", "german", "rx", title="-"), make.change("ann", "german", messages=(again,)))
    assert (threads_with(book, "strasse"), threads_with(book, "anders")) == (set(), {"german"})


def test_a_message_stored_twice_is_found_once(book: Book, make: Make) -> None:
    message = make.message("ann", "german", "said-german", content=SAID["german"])
    assert book.write(make.change("ann", "german", messages=(message,))) == [True]
    with book.reading.begin() as connection:
        counted = connection.exec_driver_sql("SELECT count(*) FROM words WHERE message_id = 'said-german'")
        assert counted.scalar_one() == 1


def test_the_index_is_used(book: Book, kind: str) -> None:
    with book.reading.begin() as connection:
        if kind == "sqlite":
            query = "SELECT rowid FROM words_index WHERE words_index MATCH 'x'"
            assert "VIRTUAL TABLE INDEX" in str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            query = "SELECT 1 FROM words WHERE array_to_tsvector(string_to_array(text, ' ')) @@ CAST('x' AS tsquery)"
            assert "words_index" in str(connection.exec_driver_sql(f"EXPLAIN {query}").all())


@given(st.text(), st.text())
def test_whatever_is_typed_makes_a_question(owner: str, typed: str) -> None:
    for question, around in ((for_fts5(owner, typed), '"* AND'), (for_tsquery(owner, typed), "':*& ")):
        if question is not None:
            assert all(letter.isalnum() or letter in around or not letter.isascii() for letter in question)
            assert question.count("AND") + question.count("&") <= MOST_ASKED


@given(st.text(min_size=1))
def test_a_message_is_found_by_its_own_words(message: str) -> None:
    stored = searchable("ann", message).split(" ")
    question = for_tsquery("ann", message)
    for part in (question or "").split(" & "):
        word = part.split("'")[1] if part else ""
        assert any(stem.startswith(word) for stem in stored)
        assert len(word) <= LONGEST_WORD
