"""Plain questions about a table: what is answered, how it was read, and what is asked back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.tools.duckdb_session import open_table
from understudy.tools.errors import ToolError
from understudy.tools.questions.answer import MAX_CHARACTERS, AskedBack, Outcome, answer

SALES = """date,region,product,units,unit_price,returned,note
2026-01-05,north,pears,10,2.5,false,a
2026-01-17,south,apples,20,1.5,true,b
2026-02-03,south,pears,30,2.75,false,c
2026-02-20,north,plums,5,4.0,false,
2026-03-02,east,apples,60,1.4,false,d
2026-03-09,south,plums,7,3.9,true,e
"""
Ask = Callable[..., Outcome]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """`ask(question)` asks about `SALES`, or about the content given."""

    def ask(question: str, content: str = SALES, name: str = "sales.csv", before: str | None = None) -> Outcome:
        (tmp_path / "given").write_text(content)
        return answer(open_table(name, tmp_path / "given", tmp_path), name, question, before)

    return ask


@pytest.mark.parametrize(
    ("question", "read_as", "rows"),
    [
        ("average unit price of pears", "average unit_price where product = “pears”", [[2.625]]),
        (
            "total units sold by south in 2026-02",
            "total units where region = “south” and date in 2026-02",
            [[30]],
        ),
        ("total units without plums", "total units where product not “plums”", [[120]]),
        ("how many rows are there?", "number of rows", [[6]]),
        ("How many rows are not from south?", "number of rows where region not “south”", [[3]]),
        ("how many different products", "number of different product", [[3]]),
        ("list the products in south", "different product where region = “south”", [["apples"], ["pears"], ["plums"]]),
        ("Total units by region", "total units by region", [["east", 60], ["south", 57], ["north", 15]]),
        (
            "units per month",
            "total units by month of date",
            [["2026-01", 30], ["2026-02", 35], ["2026-03", 67]],
        ),
        ("which region has the highest total units?", "region with the highest total units", [["east", 60]]),
        ("cheapest product", "product with the lowest unit_price", [["apples", 1.4]]),
        ("top 2 products by total units", "top 2 product by total units", [["apples", 80], ["pears", 40]]),
        (
            "products with total units above 30",
            "total units by product with total units > 30",
            [["apples", 80], ["pears", 40]],
        ),
        (
            "share of north in units",
            "share of units where region = “north”",
            [[pytest.approx(100 * 15 / 132), 15, 132]],
        ),
        (
            "growth of units from January to February 2026",
            "growth of total units from 2026-01 to 2026-02",
            [[30, 35, 5, pytest.approx(100 * 5 / 30)]],
        ),
        (
            "total units of pears or apples in north",
            "total units where product = “pears” or “apples” and region = “north”",
            [[10]],
        ),
        (
            "number of rows where region is north or units above 50",
            "number of rows where region = “north” or units > 50",
            [[3]],
        ),
        (
            "compare north and south by units",
            "total units by region where region = “north” or “south”",
            [["south", 57], ["north", 15]],
        ),
        ("how many rows are returned", "number of rows where returned is true", [[2]]),
        ("number of rows with more than 9 and units under 40", "", None),
        ("rows without note", "rows where note is missing", None),
        ("median units in Q1 2026", "median units where date in 2026-Q1", [[15]]),
        ("total units between 2026-01-10 and 2026-02-10", "total units where date in 2026-01-10 to 2026-02-10", [[50]]),
        ("Summe units nach region", "total units by region", [["east", 60], ["south", 57], ["north", 15]]),
        ("Wie viele Zeilen haben units über 20?", "number of rows where units > 20", [[2]]),
        ("How many rows in sales.csv have units of at least 20", "number of rows where units >= 20", [[3]]),
        (
            "What is the unit price of returned apples?",
            "average unit_price where returned is true and product = “apples”",
            [[1.5]],
        ),
    ],
)
def test_a_question_is_answered_as_it_was_read(ask: Ask, question: str, read_as: str, rows: Any) -> None:
    """The reading is a question that is read as the same query."""
    found = ask(question).answered
    if not read_as:
        assert found is None
        return
    assert found is not None
    assert found.read_as == read_as
    if rows is not None:
        assert found.rows == rows
    again = ask(found.read_as).answered
    assert again is not None
    assert again.sql == found.sql


@pytest.mark.parametrize(
    ("question", "unplaced", "offered"),
    [
        ("average price of organic pears", ["organic"], "average unit_price where product = “pears”"),
        ("avrage price of pears", ["avrage"], "average unit_price where product = “pears”"),
        ("Which month was the best?", [], "month of date with the highest total units"),
        ("what was the total in 2026-02", [], "total units where date in 2026-02"),
        ("total revenue by region", ["revenue"], "total units by region"),
        ("total units for the last 7 days", [], "total units"),
        ("units above average", [], "total units"),
        ("price of the row with the most units", [], "total units"),
        ("total units 12", [], "total units"),
        ("total units in week 3", [], "total units"),
        ("letzte Zeile", [], ""),
        ("total units above 20 %", [], "total units"),
        ("chart top 3 products by units", [], ""),
        ("", [], ""),
    ],
)
def test_a_question_without_one_meaning_is_asked_back(
    ask: Ask, question: str, unplaced: list[str], offered: str
) -> None:
    """The words without a place are named, and what is offered can be answered."""
    found = ask(question)
    assert found.answered is None
    assert found.asked is not None
    assert list(found.asked.unplaced) == unplaced
    assert any(each.startswith(offered) for each in found.asked.readings)
    for each in found.asked.readings:
        assert ask(each).answered is not None, each


ORDERS = """Order ID,Customer,Country,Product,Order Date,Units Sold,Price,Discount,Returned,Area km2
1001,Alice,Germany,Books,2025-01-03,2,12.5,0.1,no,10
1002,Bob,France,Toys,2025-01-15,1,30,0,yes,20
1003,Carla,Germany,Books,2025-02-02,5,8,0,no,30
1004,Dan,Spain,Garden,2025-02-20,3,45,0.2,no,40
1005,Alice,Germany,Toys,2025-03-11,4,25,0.05,no,50
"""
STAFF = """Employee ID,Name,Salary,Hire Date,Remote,Bonus
E1,Ann Lee,52000,2019-03-04,Yes,0
E2,Ben Fox,48000,2021-06-15,No,
E3,Cara Ito,75000,2018-01-22,Yes,3000
"""
MARKS = """subject,Note,points,rank,delay,wind_kmh,temp_max_c,temp_min_c
Maths,2,85,1,10,14,22,12
Maths,5,38,3,5,20,33,21
German,1,95,2,0,9,35,11
"""


@pytest.mark.parametrize(
    ("table", "question", "read_as"),
    [
        (ORDERS, "How many orders were returned?", "number of rows where Returned = “yes”"),
        (ORDERS, "How many orders were not returned?", "number of rows where Returned not “yes”"),
        (ORDERS, "number of returned orders per country", "number of rows by Country where Returned = “yes”"),
        (ORDERS, "total units of orders that were not returned", "total Units Sold where Returned not “yes”"),
        (ORDERS, "list all orders from France", "rows where Country = “France”"),
        (ORDERS, "how many orders in 2025", "number of rows where Order Date in 2025"),
        (ORDERS, "units of order 1003", "total Units Sold where Order ID = 1003"),
        (ORDERS, "orders ordered after 2025-02-01", "rows where Order Date after 2025-02-01"),
        (ORDERS, "orders without a discount", "rows where Discount = 0"),
        (ORDERS, "units sold in March 2025", "total Units Sold where Order Date in 2025-03"),
        (ORDERS, "units sold to Alice", "total Units Sold where Customer = “Alice”"),
        (ORDERS, "average area", "average Area km2"),
        (ORDERS, "show price and discount of toys", "list Price and Discount where Product = “Toys”"),
        (STAFF, "How many employees work remote?", "number of rows where Remote = “Yes”"),
        (STAFF, "employees hired before 2019", "rows where Hire Date before 2019"),
        (STAFF, "people with a bonus over 1000", "rows where Bonus > 1000"),
        ("Country,GDP per head\nNorway,7\nJapan,4\n", "GDP by country", "average GDP per head by Country"),
        (STAFF, "names of remote employees", "different Name where Remote = “Yes”"),
        (STAFF, "Who has the highest salary?", "Name with the highest Salary"),
        (STAFF, "employees with a salary over 50 thousand", "rows where Salary > 50000"),
        (MARKS, "most common subject", "subject with the highest number of rows"),
        (MARKS, "average wind", "average wind_kmh"),
        (MARKS, "highest temp max", "highest temp_max_c"),
        (MARKS, "best points", "highest points"),
        (MARKS, "best Note", None),  # 1 is better than 5
        (MARKS, "top 2 rows by rank", None),
        (MARKS, "worst delay", None),
        (MARKS, "points vs wind", None),  # each row would be a group
        (ORDERS, "orders with no more than 2 units", "rows where Units Sold <= 2"),
        (ORDERS, "number of orders where Returned is no", "number of rows where Returned = “no”"),
        (ORDERS, "how many books were sold", None),  # rows of them, or their units
        (ORDERS, "average order", None),
        (ORDERS, "list orders by units", None),  # in the order of their units
        (STAFF, "oldest employee", None),  # is not who was hired first
        (STAFF, "employees without a bonus", None),  # none is known, or it is 0
    ],
)
def test_rows_have_a_noun_and_columns_say_yes_or_no(ask: Ask, table: str, question: str, read_as: str | None) -> None:
    """As the tables of other people do."""
    found = ask(question, table, "given.csv").answered
    assert (None if found is None else found.read_as) == read_as
    if read_as is not None:
        again = ask(read_as, table, "given.csv").answered
        assert again is not None
        assert found is not None
        assert again.rows == found.rows


def test_two_meanings_are_asked_back_unless_they_give_the_same(ask: Ask) -> None:
    """A price without a word for a figure is an average or a list; of one row they are the same."""
    asked = ask("What is the price of plums?").asked
    assert asked == AskedBack(
        (), ("average unit_price where product = “plums”", "list unit_price where product = “plums”"), ambiguous=True
    )
    one = ask("What is the price of plums in south?").answered
    assert one is not None
    assert one.rows == [[3.9]]
    twice = "origin,target,cost\nnorth,south,1\nsouth,north,2\n"
    both = ask("total cost of north", twice, "trips.csv").asked
    assert both is not None
    assert both.readings == ("total cost where origin = “north”", "total cost where target = “north”")
    named = ask("total cost where target is north", twice, "trips.csv").answered
    assert named is not None
    assert named.rows == [[2]]


def test_a_unit_is_the_one_of_its_column(ask: Ask) -> None:
    """Euros and per cent are told apart, in the names of columns and behind numbers."""
    content = "Stadt;Umsatz €;Umsatz %\nKöln;1.200,50;12\nBonn;800,00;88\n"
    found = ask("Total Umsatz € by Stadt", content, "umsatz.csv").answered
    assert found is not None
    assert found.rows == [["Köln", 1200.5], ["Bonn", 800]]
    assert ask("Total Umsatz by Stadt", content, "umsatz.csv").answered is None
    euros = ask("Zeilen mit Umsatz € über 1.000 €", content, "umsatz.csv").answered
    assert euros is not None
    assert [row[0] for row in euros.rows] == ["Köln"]


def test_a_month_without_a_year_is_that_of_the_data(ask: Ask) -> None:
    found = ask("total units in February").answered
    assert found is not None
    assert found.read_as == "total units where date in 2026-02"
    years = ask("total units in January", "date,units\n2025-01-02,1\n2026-01-02,2\n", "u.csv").asked
    assert years is not None
    assert years.readings == ("total units where date in 2025-01", "total units where date in 2026-01")


def test_a_day_that_may_be_two_is_asked_back(ask: Ask) -> None:
    asked = ask("total units on 3/2/2026").asked
    assert asked is not None
    assert set(asked.readings) == {"total units where date in 2026-02-03", "total units where date in 2026-03-02"}


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("and by product?", "total units by product"),
        ("what about south?", "total units by region where region = “south”"),
        ("only in 2026-02", "total units by region where date in 2026-02"),
        ("how many rows are there?", "number of rows"),
    ],
)
def test_a_message_continues_a_question(ask: Ask, text: str, read_as: str) -> None:
    found = ask(text, before="total units by region").answered
    assert found is not None
    assert found.read_as == read_as


@pytest.mark.parametrize(
    ("before", "text", "rows"),
    [
        ("total units by region", "no, plums", [["south", 7], ["north", 5]]),  # a correction
        ("rows where units > 5", "and by month?", None),
        ("average unit_price where product = “pears”", "and units?", None),  # of pears, or of all
        ("number of rows where region = “south”", "how many rows?", None),
    ],
)
def test_what_a_message_changes_is_not_guessed(
    ask: Ask, before: str, text: str, rows: list[list[object]] | None
) -> None:
    found = ask(text, before=before).answered
    assert (found and found.rows) == rows


def test_who_has_the_most_is_none_of_what_is_counted(ask: Ask) -> None:
    table = "ticket,agent,status\nT-1,Ann,open\nT-2,Bob,closed\nT-3,Ann,open\n"
    assert ask("who has the most open tickets?", table, "tickets.csv").answered is None
    found = ask("which agent has the most open tickets?", table, "tickets.csv").answered
    assert found is not None
    assert found.rows == [["Ann", 2]]


def test_a_name_for_rows_is_that_of_the_file(ask: Ask) -> None:
    """Orders are counted in orders.csv; sales are no rows of sales.csv."""
    found = ask("how many orders are there in north?", name="orders.csv").answered
    assert found is not None
    assert found.rows == [[2]]
    assert ask("sales by month").answered is None


@pytest.mark.parametrize("question", ["north " * 66, "and or not " * 36, "units by " * 44, "(" * 400, "total " * 66])
def test_a_long_question_takes_no_time(ask: Ask, question: str) -> None:
    """The number of readings and of their parts is bounded."""
    assert ask(question).asked is not None


def test_a_question_that_is_too_long_is_not_answered_without_its_end(ask: Ask) -> None:
    """What follows may change what is asked; so may one of more readings than are tried."""
    spaces = " " * (MAX_CHARACTERS - len("total units of pears"))
    whole = ask(f"total units{spaces} of pears").answered
    assert whole is not None
    assert whole.rows == [[40]]
    with pytest.raises(ToolError, match="may have 400 characters"):
        ask(f"total units{spaces} of pears without south")
    many = "a,b,units\n" + "".join(f"{word},{word},1\n" for word in ("red", "blue", "green", "gray"))
    assert ask("total units of red " + "or blue or green or gray or red " * 3, many).answered is None


def test_values_and_names_are_no_sql(ask: Ask) -> None:
    content = 'who,"x""y",n\n"O\'Neil",a,1\nBo,b,2\n'
    found = ask("total n of O'Neil", content, "t.csv").answered
    assert found is not None
    assert found.rows == [[1]]
    quoted = ask('total n by "x""y"', content, "t.csv")
    assert quoted.answered is None or quoted.answered.rows == [["b", 2], ["a", 1]]


def test_an_answer_says_how_its_columns_were_read_where_that_was_open(ask: Ask) -> None:
    """Only those that it is about; also if a question is asked back because of it."""
    content = "name;price;cost;day\na;1.234;12,50;1\nb;2.500;1,25;2\n"
    found = ask("total price", content, "prices.csv")
    assert found.answered is not None
    assert found.answered.rows == [[3734]]
    assert found.notes == ("“price” is read with a decimal comma, as other numbers: 1.234 is 1234.",)
    assert ask("total day", content, "prices.csv").notes == ()
    undecided = ask("total price", "name;price\na;1.234\nb;2.500\n", "prices.csv")
    assert undecided.answered is None
    assert undecided.notes == ("“price” is read as text: 1.234 may be 1234 or 1.234, and no other number decides it.",)


ASSETS = """asset_tag,device,cost,assigned_to
AT-1,Laptop,1250,Kim
AT-2,Laptop,2100,Lee
AT-3,Monitor,300,Kim
AT-4,Laptop,900,
"""
CITIES = "city,price_eur\nBremen,100\nBremen,900\nKiel,600\nKiel,700\n"
ANSWERS = "respondent,department,years_at_company\n1,IT,3\n2,IT,12\n3,Sales,1\n4,Sales,7\n5,HR,2\n"
VISITS = "day,page,visitors\n2026-10-01,home,1200\n2026-10-01,shop,300\n2026-10-02,home,900\n2026-10-02,shop,340\n"
DAYS = "day,visitors\n2026-10-01,1500\n2026-10-02,1240\n"
TICKETS = (
    "id,subject,status,customer,satisfaction\n501,Login,closed,Acme,5\n502,Slow,open,Birk,\n503,Crash,open,Acme,3\n"
    "504,Typo,closed,Cora,4\n"
)
STOCK = "sku,item,warehouse,in_stock,unit_cost\nA-1,Bolt,East,1200,0.08\nA-2,Gear,West,0,12.5\nA-3,Belt,East,75,6.2\n"
VERKAUF = "Filiale;Verkäufer;Menge\nBonn;Huber;2\nBonn;Weber;3\nEssen;Huber;1\n"


@pytest.mark.parametrize(
    ("table", "question", "read_as", "rows"),
    [
        (ASSETS, "most expensive device", "device with the highest cost", [["Laptop", 2100]]),
        (ANSWERS, "how many respondents", "number of different respondent", [[5]]),
        (ANSWERS, "years at company by department", "average years_at_company by department", None),
        (DAYS, "average visitors per day", "average visitors", [[1370]]),
        (TICKETS, "satisfaction by status", "average satisfaction by status", [["closed", 4.5], ["open", 3]]),
        (VISITS, "average visitors by page", "average visitors by page", [["home", 1050], ["shop", 320]]),
    ],
)
def test_a_figure_is_the_one_that_people_mean(
    ask: Ask, table: str, question: str, read_as: str, rows: list[list[object]] | None
) -> None:
    """One thing is expensive and not what its kind costs in all, numbers in order are names, years are no sum."""
    found = ask(question, table).answered
    assert found is not None
    assert found.read_as == read_as
    assert rows is None or found.rows == rows


@pytest.mark.parametrize(
    ("table", "question"),
    [
        (CITIES, "most expensive city"),  # Bremen has the dearest, Kiel is dearer on average
        (ASSETS, "who has a laptop?"),  # no tag is a person
        (ASSETS, "who has AT-2?"),
        (TICKETS, "who closed the most tickets?"),  # no subject is a person
        (TICKETS, "how many tickets did Acme open?"),  # are not the open ones of Acme
        (STOCK, "what is out of stock?"),
        (STOCK, "value of stock"),  # is money, and no number of pieces
        (VISITS, "average visitors per day"),  # of what the pages of a day add up to, and no average of pages
        (VERKAUF, "Verkäufe in Bonn"),  # are not those who sell
    ],
)
def test_what_could_mean_something_else_is_asked_back(ask: Ask, table: str, question: str) -> None:
    assert ask(question, table).answered is None
