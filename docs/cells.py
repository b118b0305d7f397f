"""The tables of the page on cells: what one carries by the figures of the benchmarks page, and what growth takes."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.cells import Growth, Habits, carried, cells_for, grow

BENCHMARKS: Final = Path(__file__).parent / "reference/benchmarks.md"
SEND_S: Final = 10
"""Each user of the benchmark of chats sends so often."""
USERS: Final = 10_000_000
ACTIVE: Final = 0.05
"""Share of the users that the simulation takes as active at the peak."""
SEEDS: Final = 3


def measured(figure: str, peer: str) -> float:
    """Return a peer's value of a figure of the benchmarks page. Raises LookupError if the page has none."""
    row = rf"^\| `{figure}` \|.*\b{peer} ([\d.,]+)( k)? \("
    found = re.search(row, BENCHMARKS.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"{BENCHMARKS.name} has no {figure} of {peer}")
    return float(found[1].replace(",", "")) * (1000 if found[2] else 1)


def figures() -> tuple[float, float]:
    """Return messages a second of one node, and durable events a second of one PostgreSQL."""
    return measured("chat_users_text", "postgresql") / SEND_S, measured("durable_events", "postgresql")


def carried_rows() -> list[tuple[str, ...]]:
    """Return the arithmetic of one cell, line by line."""
    habits, (node_s, events_s) = Habits(), figures()
    cell, stored = carried(node_s, events_s, habits), f"{habits.answer_bytes / 1000:.0f} KB an answer"
    return [
        ("durable events of one PostgreSQL", f"{events_s:,.0f} a second", "`durable_events` of `postgresql`"),
        (
            "messages",
            f"{cell.messages_s:,.0f} a second",
            f"{habits.answer_events} events each; half is left in reserve",
        ),
        ("active users", f"{cell.active_users:,}", f"a message of each in {habits.seconds_a_message:.0f} s"),
        ("messages of one node", f"{node_s:,.1f} a second", f"`chat_users_text` of `postgresql`: one in {SEND_S} s"),
        ("nodes", f"{cell.nodes}", "one of them may be lost"),
        ("disk", f"{cell.bytes_a_day / 1e9:,.0f} GB a day", f"{stored}, {habits.busy_hours:.0f} hours of the peak"),
    ]


def needed_rows() -> list[tuple[str, ...]]:
    """Return how many cells ten million users need, by the share of them that is active at the peak."""
    cell = carried(*figures(), Habits())
    counts = ((share, cells_for(USERS, share, cell)) for share in (0.01, 0.02, 0.05, 0.1))
    return [(f"{share:.0%}", f"{USERS * share:,.0f}", f"{cells}", f"{cells * cell.nodes}") for share, cells in counts]


@cache
def growth_rows() -> list[tuple[str, ...]]:
    """Return what growing to ten million users takes, by splits of cells and by moves of tenants."""
    room, rows = carried(*figures(), Habits()).active_users / ACTIVE, []
    for way, by_tenant in (("a full cell is halved", False), ("its smallest tenants move to others", True)):
        grown = [grow(room, Growth(seed), by_tenant=by_tenant) for seed in range(SEEDS)]
        of_all = (
            [len(installation.cells) for installation in grown],
            [installation.copied for installation in grown],
            [installation.most_away for installation in grown],
            [100 * max(installation.users()) / USERS for installation in grown],
        )
        rows.append((way, *map(_range, of_all)))
    return rows


def _range(values: Sequence[float]) -> str:
    ends = [f"{end:,.0f}" if end >= 100 or end == int(end) else f"{end:.1f}" for end in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))
