"""Cells: what one carries by measured figures, how many a number of users needs, and how growing tenants fill them.

A cell is one PostgreSQL with its nodes. Nothing is measured here: the same numbers and seed give the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

from attrs import define, field, frozen


@frozen
class Habits:
    """What users do, and what an answer costs. The defaults are those of the sizing page."""

    seconds_a_message: float = 90.0
    """Between two messages of an active user."""
    answer_events: int = 10
    answer_bytes: int = 10_000
    """What the database stores of an answer, with indexes."""
    busy_hours: float = 8.0
    """A day has as many messages as so many hours of its peak."""


@frozen
class Carried:
    """What a cell carries at its peak."""

    messages_s: float
    active_users: int
    nodes: int
    """One of them may be lost."""
    bytes_a_day: float


def carried(node_messages_s: float, database_events_s: float, habits: Habits, reserve: float = 0.5) -> Carried:
    """Return what a cell carries whose database has a share of its events left for what was not measured."""
    messages_s = database_events_s * (1 - reserve) / habits.answer_events
    return Carried(
        messages_s,
        int(messages_s * habits.seconds_a_message),
        math.ceil(messages_s / node_messages_s) + 1,
        messages_s * habits.busy_hours * 3600 * habits.answer_bytes,
    )


def cells_for(users: int, active_share: float, cell: Carried) -> int:
    """Return how many equally full cells so many users need, of whom a share is active at the peak."""
    return math.ceil(users * active_share / cell.active_users)


@frozen
class Growth:
    """How an installation grows: half of it by its tenants, half by new ones, of sizes from a Pareto distribution."""

    seed: int = 58
    months: int = 48
    users: int = 1_000_000
    at_the_end: int = 10_000_000
    smallest: int = 400
    """Users of a tenant that joins; the mean is five times as many."""
    shape: float = 1.25
    unsteadiness: float = 0.1
    """Standard deviation of a tenant's growth in a month."""


@define
class Grown:
    """An installation, a list of users of each tenant by cell, and what its growth has cost."""

    cells: list[list[float]] = field(factory=lambda: [[]])
    copied: int = 0
    """Tenants that were copied to another cell."""
    most_away: float = 0.0
    """Users of the largest cell that was split, who all waited for it."""

    def users(self) -> list[float]:
        """Return the users of each cell."""
        return [sum(cell) for cell in self.cells]

    def place(self, tenant: float) -> None:
        """Give a new tenant to the cell with the fewest users."""
        min(self.cells, key=sum).append(tenant)

    def split(self, room: float) -> None:
        """Halve each cell with more users than it has room for, until none is left that has several tenants."""
        for cell in self.cells:  # those that are added are looked at, too
            while sum(cell) > room and len(cell) > 1:
                self.most_away = max(self.most_away, sum(cell))
                cell[:], moved = halves(cell)
                self.copied += len(moved)
                self.cells.append(moved)

    def move(self, room: float) -> None:
        """Move the smallest tenants of each cell that is too full to the emptiest cell, or to a new one."""
        for cell in self.cells:
            while sum(cell) > room and len(cell) > 1:
                tenant = min(cell)
                cell.remove(tenant)
                if min(self.users()) + tenant > room:
                    self.cells.append([])
                self.place(tenant)
                self.copied += 1
                self.most_away = max(self.most_away, tenant)


def halves(tenants: Iterable[float]) -> tuple[list[float], list[float]]:
    """Return tenants in two parts of about as many users: each, from the largest on, joins the part with fewer."""
    parts: tuple[list[float], list[float]] = [], []
    for tenant in sorted(tenants, reverse=True):
        min(parts, key=sum).append(tenant)
    return parts


def grow(room: float, growth: Growth, *, by_tenant: bool = False) -> Grown:
    """Return an installation after its growth, cells of which have room for so many users.

    A cell that is too full is split in halves, or `by_tenant` gives its smallest tenants to others.
    """
    random, grown = Random(growth.seed), Grown()
    monthly = (growth.at_the_end / growth.users) ** (1 / growth.months)
    for month in range(growth.months + 1):
        wanted = growth.users * monthly**month
        for cell in grown.cells:
            cell[:] = [tenant * random.lognormvariate(math.log(monthly) / 2, growth.unsteadiness) for tenant in cell]
        missing = wanted - sum(grown.users())
        while missing > 0:
            tenant = min(growth.smallest * random.paretovariate(growth.shape), room, missing)
            grown.place(tenant)
            missing -= tenant
            (grown.move if by_tenant else grown.split)(room)
    return grown
