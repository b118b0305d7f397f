"""`understudy top`: the observer in a terminal. What the server does now, read again every few seconds.

On a terminal the screen is redrawn in place until Ctrl-C; through a pipe one picture is printed. Session tokens are
never shown.
"""

import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from understudy.app.settings import Settings
from understudy.auth.rights import OPERATOR, SERVER_OPERATOR
from understudy.auth.sessions import open_tokens
from understudy.cli.chat import ChatFailed, ServerAddress
from understudy.cli.console import one_line

OWN_TOKEN_S: Final = 12 * 3600
"""Seconds for which the token is valid that the command makes for itself."""
SILENT_S: Final = 30.0
"""Seconds after which a run that should be working is shown in red, as in the observer."""
WAITS_FOR_A_PERSON: Final = frozenset({"consent", "question", "queue"})
ROWS: Final = 12
"""Rows of a table that follow the first that fits the screen anyway."""
WORDS: Final[Mapping[str, str]] = {"queue": "its turn", "consent": "consent to", "question": "an answer"}


def own_token(settings: Settings, user: str = "top") -> str:
    """Make an operator's token of a user with the server's secret, which is on this machine.

    Raises:
        OSError, ValueError: There is no usable secret here.
    """
    if not settings.secret and not settings.secret_file.exists():
        raise ValueError(f"there is no secret in {settings.data_dir.absolute()}")
    roles = (OPERATOR, SERVER_OPERATOR) if settings.tenant_claim else (OPERATOR,)
    return open_tokens(settings).issue(user, secrets.token_hex(8), roles=roles, ttl_s=OWN_TOKEN_S)


def run_top(url: str, token: str, every_s: float) -> int:
    """Show the server at `url` over this process's streams. Return the exit code: 1 if it refuses or is not there."""
    console = Console()
    try:
        trio.run(_watch, url, token, every_s, console)
    except KeyboardInterrupt:
        return 0
    except ChatFailed as failed:
        Console(stderr=True).print(Text(one_line(failed)))
        return 1
    return 0


async def _watch(url: str, token: str, every_s: float, console: Console) -> None:
    server = ServerAddress.parse(url)
    if not console.is_terminal:
        console.print(await picture(server, token, sys.maxsize))
        return
    first = await picture(server, token, console.height)
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        while True:
            await trio.sleep(every_s)
            try:
                live.update(await picture(server, token, console.height), refresh=True)
            except ChatFailed as failed:  # it may be restarting
                live.update(Text(f"{one_line(failed)}\nTrying again; Ctrl-C leaves.", "red"), refresh=True)


async def picture(server: ServerAddress, token: str, height: int) -> RenderableType:
    """Read what the server does now. Return it as tables for a screen of `height` lines.

    Raises:
        ChatFailed: The server cannot be reached, or refuses the token.
    """
    found = {
        name: await server.ask("GET", f"/api/observer/{name}", token) for name in ("runs", "connections", "health")
    }
    health, runs = found["health"]["health"], found["runs"]
    room = max(3, min(ROWS, (height - 14) // 2)) if height < sys.maxsize else ROWS
    parts: list[RenderableType] = [_head(server.place, health, found["health"]["pools"])]
    parts += [_unwell(health["checks"]), _runs(runs["open"], runs["currency"], room)]
    parts += [_ended(runs["ended"], max(3, room // 2)), _connections(found["connections"], max(3, room // 2))]
    return Group(*parts)


def _head(place: str, health: Mapping[str, Any], pools: Mapping[str, Mapping[str, int]]) -> Text:
    """Return the lines at the top: the server, its status, and its pools."""
    well = health["status"] == "ok"
    line = Text.assemble(
        (one_line(place), "bold"), "  ", (one_line(health["status"]), "green" if well else "bold red"),
        f"  {one_line(health['version'])}, up {span(health['uptime_s'])}, {health['memory_mb']:,.0f} MB, "
        f"{health['connections']:,} connections, {health['actors']:,} actors, {health['restarts']:,} restarts",
    )  # fmt: skip
    for name, pool in pools.items():
        busy = bool(pool.get("waiting") or pool.get("lost"))
        of = f" of {pool['total']:,}" if "total" in pool else ""
        waiting = "".join(f", {pool[word]:,} {word}" for word in ("waiting", "lost") if pool.get(word))
        line.append(f"\n  {one_line(name)}: {pool['at_work']:,}{of}{waiting}", "red" if busy else "dim")
    return line


def _unwell(checks: Mapping[str, Mapping[str, Any]]) -> Text:
    """Return a line for each part that is not well."""
    bad = [(name, check) for name, check in checks.items() if check["status"] != "ok"]
    return Text("\n".join(one_line(f"{name}: {check.get('note') or check['status']}") for name, check in bad), "red")


def _runs(rows: Sequence[Mapping[str, Any]], currency: str, room: int) -> Table:
    table = _table(f"Open runs ({len(rows):,})", "run", "user", "agent", "waits for")
    for name in ("silent", "age", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows[:room]:
        silent = row["here"] and row["silent_s"] >= SILENT_S and row["waits_for"] not in WAITS_FOR_A_PERSON
        kind = WORDS.get(row["waits_for"], row["waits_for"])
        table.add_row(
            one_line(row["run_id"])[:12], _who(row), one_line(row["agent"]),
            one_line(f"{kind} {row['waits_for_name']}"),
            span(row["silent_s"]) if row["here"] else "elsewhere", span(row["age_s"]), f"{row['tokens']:,}",
            f"{row['cost']:.3g} {one_line(currency)}".strip() if row["cost"] else "",
            style="bold red" if silent else "",
        )  # fmt: skip
    return table


def _ended(rows: Sequence[Mapping[str, Any]], room: int) -> Table:
    table = _table("Ended last", "run", "user", "outcome")
    for name in ("ago", "took"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows[:room]:
        took = "" if row["seconds"] is None else span(row["seconds"])
        style = "" if row["outcome"] in ("success", "cancelled") else "red"
        table.add_row(
            one_line(row["run_id"])[:12], _who(row), one_line(row["outcome"]), span(row["ago_s"]), took, style=style
        )
    return table


def _connections(found: Mapping[str, Any], room: int) -> Table:
    table = _table(f"Connections ({found['total']:,}), the largest backlog first", "user", "kind")
    for name in ("open for", "round trip", "queued", "behind"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found["connections"][:room]:
        table.add_row(
            _who(row), one_line(row["dialect"] or ""), "" if row["age_s"] is None else span(row["age_s"]),
            "" if row["rtt_ms"] is None else f"{row['rtt_ms']:,.0f} ms",
            f"{row['events']:,} in {row['bytes'] / 1024:,.0f} KB" if row["bytes"] else "",
            f"{row['behind']:,}" if row["behind"] else "", style="red" if row["behind"] else "",
        )  # fmt: skip
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def _who(row: Mapping[str, Any]) -> str:
    tenant = row["tenant"]
    return one_line(row["user"] if tenant is None else f"{row['user']} ({tenant})")


def span(seconds: float) -> str:
    """Return a duration in its two largest units: `4.2 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, size, below, part in (("min", 60, 3600, "s"), ("h", 3600, 86_400, "min"), ("d", 86_400, 0, "h")):
        if seconds < below or not below:
            step = {"s": 1, "min": 60, "h": 3600}[part]
            return f"{int(seconds // size)} {unit} {int(seconds % size // step)} {part}"
    raise AssertionError
