"""The command `understudy admin spend`."""

from collections.abc import Callable
from typing import Final

import click

from understudy.cli.admin import TENANT, AskedServer, Row, money, number, who

BY: Final = ("user", "group", "agent", "model", "day")
"""The choices of `report.BY`, repeated here because its import is slow, and most commands do not need it."""


@click.command()
@click.option("--by", type=click.Choice(BY), default="user", show_default=True, help="What it is summed by.")
@click.option("--days", type=click.IntRange(1, 35), default=1, show_default=True, help="Days, of which today is one.")
@TENANT
@click.pass_obj
def spend(remote: AskedServer, by: str, days: int, tenant: str | None) -> None:
    """Sum up what was spent on models."""
    answer = remote.ask("GET", "/api/admin/spending", by=by, days=days, tenant=tenant)
    named: Callable[[Row], str] = who if by == "user" else lambda row: row[by] or "(not known)"
    remote.show(answer, answer["spending"], {
        by: named, "tokens": number("tokens"), "cost": lambda row: money(row, answer["currency"]),
        "runs": number("runs"),
    })  # fmt: skip
