"""The title of a thread that nobody has named."""

from understudy.chat.title_text import TITLE_CHARS, derived_title


def test_a_thread_begins_with_the_words_of_its_first_message() -> None:
    assert derived_title("  Sales\n by   month ") == "Sales by month"
    long = derived_title("word " * 500)
    assert len(long) <= TITLE_CHARS
    assert long.endswith("word\u2026")
    assert derived_title("x" * 500) == "x" * (TITLE_CHARS - 1) + "\u2026"
    assert derived_title("x" * TITLE_CHARS) == "x" * TITLE_CHARS
    assert derived_title(" \n") == "New conversation"
