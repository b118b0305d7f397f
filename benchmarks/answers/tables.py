"""Tables drawn at random: their subject, the names and the order of their columns, values, signs and encoding."""

from __future__ import annotations

import datetime
import random
from typing import Any, Final

from attrs import frozen

Row = dict[str, Any]

# Subject: what its rows are called, text columns with their values, columns that are added up, and those averaged.
_SUBJECTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "file": "orders",
        "texts": {
            "region": ["north", "south", "east", "west"],
            "product": ["pears", "apples", "plums", "cherries", "quinces"],
            "channel": ["web", "store", "phone"],
        },
        "sums": ["units", "revenue", "shipping cost"],
        "means": ["unit price", "rating"],
        "date": "order date",
        "flag": "returned",
    },
    {
        "file": "employees",
        "texts": {
            "team": ["blue", "red", "green", "platform"],
            "office": ["Berlin", "New York", "São Paulo", "Delhi"],
            "contract": ["full-time", "part-time", "intern"],
        },
        "sums": ["overtime", "bonus"],
        "means": ["salary", "age"],
        "date": "hired",
        "flag": "remote",
    },
    {
        "file": "tickets",
        "texts": {
            "priority": ["low", "medium", "high", "urgent"],
            "queue": ["billing", "network", "hardware"],
            "agent": ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra"],
        },
        "sums": ["messages", "reopened count"],
        "means": ["hours to close", "satisfaction score"],
        "date": "opened",
        "flag": "escalated",
    },
    {
        "file": "verkauf",
        "texts": {
            "Stadt": ["Köln", "München", "Hamburg", "Bad Homburg"],
            "Artikel": ["Birnen", "Äpfel", "Nüsse", "Käse"],
            "Filiale": ["Mitte", "Süd", "Hafen"],
        },
        "sums": ["Menge", "Umsatz €"],
        "means": ["Preis", "Rabatt %"],
        "date": "Datum",
        "flag": "",
    },
    {
        "file": "trips",
        "texts": {
            "driver": ["Noor", "Mia", "Jonas", "Kofi"],
            "vehicle": ["van", "truck", "bike"],
            "destination": ["Oslo", "Lyon", "Turin", "Ghent", "Porto"],
        },
        "sums": ["distance km", "parcels", "fuel"],
        "means": ["average speed", "duration"],
        "date": "day",
        "flag": "late",
    },
    {
        "file": "sensors",
        "texts": {
            "site": ["alpha", "beta", "gamma"],
            "kind": ["indoor", "outdoor", "cellar"],
            "status": ["ok", "degraded", "offline"],
        },
        "sums": ["samples", "energy kWh"],
        "means": ["temperature", "humidity percent"],
        "date": "measured",
        "flag": "calibrated",
    },
)


@frozen
class Drawn:
    """A table as its file has it, and its rows. `german`: its questions are asked in German, too."""

    file: str
    content: bytes
    rows: list[Row]
    texts: dict[str, list[str]]
    sums: list[str]
    means: list[str]
    date: str
    flag: str
    german: bool

    @property
    def numbers(self) -> list[str]:
        """All columns of numbers."""
        return [*self.sums, *self.means]


def draw(seed: int) -> Drawn:
    """Return the table of a seed."""
    rng = random.Random(seed)
    subject = rng.choice(_SUBJECTS)
    german = subject["file"] == "verkauf"
    write = (lambda name: name) if german else rng.choice(_SPELLINGS)
    texts = {write(name): values for name, values in subject["texts"].items()}
    texts = dict(rng.sample(sorted(texts.items()), rng.randint(2, 3)))
    sums = [write(name) for name in subject["sums"]]
    means = [write(name) for name in subject["means"]]
    date, flag = write(subject["date"]), write(subject["flag"]) if subject["flag"] else ""
    start = datetime.date(rng.choice((2023, 2024, 2025)), rng.randint(1, 9), 1)
    gaps = rng.random() < 0.4
    rows: list[Row] = []
    for _ in range(rng.randint(12, 120)):
        row: Row = {date: start + datetime.timedelta(days=rng.randint(0, 400))}
        for name, values in texts.items():
            row[name] = rng.choice(values)
        for name in sums:
            row[name] = None if gaps and rng.random() < 0.06 else rng.randint(1, 400)
        for name in means:
            row[name] = None if gaps and rng.random() < 0.06 else round(rng.uniform(1, 90), 2)
        if flag:
            row[flag] = rng.random() < 0.4
        rows.append(row)
    return Drawn(f"{subject['file']}.csv", _written(rng, rows, german), rows, texts, sums, means, date, flag, german)


def _title(name: str) -> str:
    return name.title()


def _snake(name: str) -> str:
    return name.replace(" ", "_")


def _camel(name: str) -> str:
    first, *rest = name.split()
    return first + "".join(each.capitalize() for each in rest)


def _plain(name: str) -> str:
    return name


_SPELLINGS: Final = (_title, _snake, _camel, _plain)


def _written(rng: random.Random, rows: list[Row], german: bool) -> bytes:
    """Write a table as offices do: with decimal commas and semicolons in German, and with signs in gaps."""
    names = list(rows[0])
    rng.shuffle(names)
    gap = rng.choice(("", "n/a", "-"))
    form = rng.choice(("%d.%m.%Y", "%Y-%m-%d")) if german else "%Y-%m-%d"
    mark = ";" if german else ","

    def cell(value: Any) -> str:
        if value is None:
            return gap
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, datetime.date):
            return value.strftime(form)
        text = str(value)
        return text.replace(".", ",") if german and isinstance(value, float) else text

    lines = [mark.join(names), *(mark.join(cell(row[name]) for name in names) for row in rows)]
    return ("\n".join(lines) + "\n").encode("cp1252" if german and rng.random() < 0.5 else "utf-8")
