"""The commands of `understudy admin` about users, runs, stops, settings and queues."""

import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

import click

from understudy.chat.stops import KINDS
from understudy.cli.admin import TENANT, AskedServer, Row, moment, money, number, seconds, text, who

STOP: Final[Mapping[str, Callable[[Row], str]]] = {
    "kind": text("kind"), "name": text("name"), "by": text("who"), "since": moment("at"), "reason": text("reason"),
}  # fmt: skip


@click.command()
@TENANT
@click.pass_obj
def users(remote: AskedServer, tenant: str | None) -> None:
    """List the users of whom something is stored."""
    rows: list[Row] = []
    cursor = None
    while True:
        page = remote.ask("GET", "/api/admin/users", tenant=tenant, cursor=cursor, limit=500)
        rows += page["users"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    remote.show({"users": rows}, rows, {
        "user": who, "threads": number("threads"), "open runs": number("open_runs"),
        "connections": number("connections"), "last change": moment("updated_at"),
    })  # fmt: skip


@click.command()
@TENANT
@click.pass_obj
def runs(remote: AskedServer, tenant: str | None) -> None:
    """List the runs at work and in the queue, those that are silent for longest first."""
    answer = remote.ask("GET", "/api/observer/runs", tenant=tenant)
    remote.show(answer, answer["open"], {
        "run": text("run_id"), "user": who, "agent": text("agent"),
        "waits for": lambda row: f"{row['waits_for']} {row['waits_for_name']}".strip(),
        "silent": seconds("silent_s"), "age": seconds("age_s"), "tokens": number("tokens"),
        "cost": lambda row: money(row, answer["currency"]),
    })  # fmt: skip


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", help="A sentence that says why, for the user.")
@click.pass_obj
def end(remote: AskedServer, run_id: str, reason: str | None) -> None:
    """End a run of any user, with what it has. The user is told that an operator did."""
    body = None if reason is None else {"reason": reason}
    answer = remote.ask("POST", f"/api/observer/runs/{quote(run_id, safe='')}/stop", body)
    remote.show(answer, [answer], {"ended": text("run_id")})


@click.command()
@click.pass_obj
def stops(remote: AskedServer) -> None:
    """List the agents, tools and models that are stopped."""
    answer = remote.ask("GET", "/api/stops")
    remote.show(answer, answer["stops"], STOP)


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--reason", required=True, help="A sentence that says why, for users.")
@click.pass_obj
def stop(remote: AskedServer, kind: str, name: str, reason: str) -> None:
    """Stop an agent, a tool or a model on all nodes."""
    answer = remote.ask("PUT", f"/api/stops/{kind}/{quote(name)}", {"reason": reason})
    remote.show(answer, [answer], STOP)
    if not answer["known"]:
        click.echo(f"This server has no {kind} of that name now: check the spelling.", err=True)


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.pass_obj
def allow(remote: AskedServer, kind: str, name: str) -> None:
    """Allow an agent, a tool or a model again that is stopped."""
    remote.ask("DELETE", f"/api/stops/{kind}/{quote(name)}")
    answer = {"kind": kind, "name": name}
    remote.show(answer, [answer], {"allowed": lambda row: f"{row['kind']} {row['name']}"})


@click.command()
@click.option("--all", "whole", is_flag=True, help="List also those with their default.")
@click.pass_obj
def settings(remote: AskedServer, whole: bool) -> None:
    """List the settings in force, with the source of each. Secrets are not shown."""
    answer = remote.ask("GET", "/api/admin/settings")
    listed = [row for row in answer["settings"] if whole or row["is_set"]]
    remote.show({"settings": listed}, listed, {"setting": text("name"), "value": shown, "source": text("source")})


@click.command()
@click.pass_obj
def queues(remote: AskedServer) -> None:
    """List what is at work and what waits in each pool of the server."""
    answer = remote.ask("GET", "/api/observer/health")
    rows = [{"pool": name, "total": "", "waiting": 0} | pool for name, pool in answer["pools"].items()]
    columns = {"pool": text("pool"), "at work": number("at_work"), "waiting": number("waiting"), "of": text("total")}
    remote.show({"pools": answer["pools"]}, rows, columns)


def shown(row: Row) -> str:
    """Return the value of a setting as text; of a secret only whether it is set."""
    if row["secret"]:
        return "(secret)" if row["is_set"] else "(not set)"
    value = row["value"]
    return value if isinstance(value, str) else json.dumps(value)


ADMIN: Final = (users, runs, end, stops, stop, allow, settings, queues)
