"""What a model has written as a title, as a title."""

import pytest

from understudy.chat.title_text import TITLE_CHARS
from understudy.extensions.titles.clean_title import clean_title


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Sales by month", "Sales by month"),
        ("  **Sales   by month.**\n", "Sales by month"),
        ("\u201cSales by month\u201d", "Sales by month"),
        ("\u201eUmsatz je Monat\u201c", "Umsatz je Monat"),
        ("\u00abVentes par mois\u00bb.", "Ventes par mois"),
        ("Title: `Sales` by month", "Sales by month"),
        ("# Sales by month\n\nHere is why I chose it.", "Sales by month"),
        ("- Sales by month", "Sales by month"),
        ("```\nSales by month\n```", "Sales by month"),
        ("[Sales](https://x.example/?q=1) by month", "Sales by month"),
        ("المبيعات حسب الشهر", "المبيعات حسب الشهر"),
        ("\u202eSales\u202c by\x00 month", "Sales by month"),
        ("Mail to [email-1]", "Mail to [email-1]"),
        ("What is snake_case?", "What is snake_case?"),
        ("3 + 4", "3 + 4"),
    ],
)
def test_a_title_is_one_plain_line(written: str, title: str) -> None:
    assert clean_title(written) == title


@pytest.mark.parametrize(
    "written",
    [
        "",
        " \n\t",
        "...",
        "\u201c\u201d",
        "```",
        "I am sorry, but I cannot give this conversation a title: it has no topic.",
    ],
)
def test_what_is_no_title_is_dropped(written: str) -> None:
    assert clean_title(written) == ""


def test_a_long_title_ends_with_a_word() -> None:
    title = clean_title("Wort" * 5 + " " + "Rindfleischetikettierung " * 4)
    assert len(title) <= TITLE_CHARS
    assert title.split()[-1] == "Rindfleischetikettierung"
    assert len(clean_title("x" * 500)) == TITLE_CHARS
