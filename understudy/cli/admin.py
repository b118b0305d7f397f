"""`understudy admin`: what operators read and do on a running server, over its HTTP API with an operator's token.

Answers are tables on a terminal and through a pipe, or the server's JSON with `--json`. Tokens are never shown.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import click

from understudy.cli.extended import ExtendedGroup
from understudy.cli.options import load_settings, operator_of
from understudy.cli.output import one_line, print_table

Row: TypeAlias = Mapping[str, Any]
BY: Final = ("user", "group", "agent", "model", "day")
"""What spending is summed by. Repeated here because most commands do not need storage."""
KINDS: Final = ("agent", "tool", "model")
TENANT: Final = click.option("--tenant", help="Only users of this tenant.")


class AskedServer:
    """A running server, asked as an operator. `as_json`: answers are printed as the server gave them."""

    def __init__(self, url: str, token: str, *, as_json: bool) -> None:
        self.url, self.token, self.as_json = url, token, as_json

    def ask(self, method: str, path: str, body: Row | None = None, **query: Any) -> dict[str, Any]:
        """Send a request. Return the answer. Raises ClickException with the server's sentence."""
        import trio

        from understudy.cli.chat import ChatFailed, ServerAddress

        given = {name: value for name, value in query.items() if value is not None}
        whole = f"{path}?{urlencode(given)}" if given else path

        async def send() -> dict[str, Any]:
            return await ServerAddress.parse(self.url).ask(method, whole, self.token, body)

        try:
            return trio.run(send)
        except ChatFailed as failed:
            raise click.ClickException(str(failed)) from None

    def show(self, answer: Row, rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> None:
        """Print an answer: its rows as a table with these columns, or all of it as JSON."""
        if self.as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))
            return
        shown = [[one_line(cell(row)) for cell in columns.values()] for row in rows]
        print_table([list(columns), *shown] if shown else [["none"]])


@click.group(cls=ExtendedGroup)
@click.option("--url", help="Address of the server [http://127.0.0.1:8002].")
@click.option("--token", "session_token", envvar="UNDERSTUDY_TOKEN", help="An operator's token; also UNDERSTUDY_TOKEN.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data folder of the server, for its secret [data].")
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as JSON.")
@click.pass_context
def admin(
    context: click.Context, url: str | None, session_token: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Administer a running server: users, runs, spending, sign-ins, stops and settings.

    Without a token one is made with the secret of the server, if that is on this machine.
    """
    settings = load_settings(data_dir=data_dir)
    context.obj = AskedServer(*operator_of(settings, url, session_token), as_json=as_json)


@admin.command()
@TENANT
@click.pass_obj
def users(remote: AskedServer, tenant: str | None) -> None:
    """List the users of whom something is stored."""
    found: list[Row] = []
    cursor = None
    while True:
        page = remote.ask("GET", "/api/admin/users", tenant=tenant, cursor=cursor, limit=500)
        found += page["users"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    remote.show({"users": found}, found, {
        "user": who, "threads": number("threads"), "open runs": number("open_runs"),
        "connections": number("connections"), "last change": moment("updated_at"),
    })  # fmt: skip


@admin.command()
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


@admin.command()
@click.argument("run_id", metavar="RUN")
@click.option("--reason", help="A sentence that says why, for the user.")
@click.pass_obj
def end(remote: AskedServer, run_id: str, reason: str | None) -> None:
    """End a run of any user, with what it has. The user is told that an operator did."""
    body = None if reason is None else {"reason": reason}
    answer = remote.ask("POST", f"/api/observer/runs/{quote(run_id, safe='')}/stop", body)
    remote.show(answer, [answer], {"ended": text("run_id")})


@admin.command("take-over")
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="A sentence that says why, for the user and for auditors.")
@click.pass_obj
def take_over(remote: AskedServer, run_id: str, reason: str) -> None:
    """Take over a run of any user, to read and steer it. The user is told at once."""
    answer = remote.ask("POST", f"{taken(run_id)}/take-over", {"reason": reason})
    remote.show(answer, [answer], {"by": text("by"), "since": moment("at"), "reason": text("reason")})


@admin.command("hand-back")
@click.argument("run_id", metavar="RUN")
@click.pass_obj
def hand_back(remote: AskedServer, run_id: str) -> None:
    """Hand a run back to its user that you, or another operator, have taken over. The user is told at once."""
    remote.ask("POST", f"{taken(run_id)}/hand-back")
    remote.show(answer := {"run_id": run_id}, [answer], {"handed back": text("run_id")})


@admin.command()
@click.argument("run_id", metavar="RUN")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many events.")
@click.pass_obj
def show(remote: AskedServer, run_id: str, last: int) -> None:
    """Show what a run that you have taken over waits for, and its last events."""
    state = remote.ask("GET", taken(run_id))
    events = remote.ask("GET", f"{taken(run_id)}/events", limit=last)["events"]
    if not remote.as_json:
        remote.show(state, state["waits_for"], {
            "waits for": text("kind"), "id": lambda row: str(row.get("call_id") or row.get("question_id")),
            "about": lambda row: str(row.get("tool_name") or row.get("title")),
            "with": lambda row: json.dumps(row.get("parameters") or row.get("schema"), ensure_ascii=False),
            "until": moment("expires_at"),
        })  # fmt: skip
    remote.show({"run": state, "events": events}, events, {
        "number": text("seq"), "at": text("timestamp"), "event": text("type"),
        "text": lambda row: str(row["data"].get("content") or row["message"] or row["data"].get("message") or ""),
    })  # fmt: skip


@admin.command()
@click.argument("run_id", metavar="RUN")
@click.argument("words", metavar="TEXT")
@click.option("--now", is_flag=True, help="End the model's turn; else the run reads it before its next one.")
@click.pass_obj
def steer(remote: AskedServer, run_id: str, words: str, now: bool) -> None:
    """Send a message to a run that you have taken over."""
    body = {"type": "steer", "content": words, "mode": "now" if now else "next"}
    answer = remote.ask("POST", f"{taken(run_id)}/commands", body)
    remote.show(answer, [answer], {"sent to": text("run_id")})


@admin.command()
@click.argument("run_id", metavar="RUN")
@click.argument("call")
@click.argument("decision", type=click.Choice(("allow", "deny")))
@click.option("--note", help="What the agent is told with it.")
@click.pass_obj
def decide(remote: AskedServer, run_id: str, call: str, decision: str, note: str | None) -> None:
    """Decide about a tool call for which a run that you have taken over waits."""
    body = {"type": "approve", "call_id": call, "decision": decision, "note": note}
    answer = remote.ask("POST", f"{taken(run_id)}/commands", body)
    remote.show(answer, [answer], {"decided in": text("run_id")})


@admin.command()
@click.argument("run_id", metavar="RUN")
@click.argument("question")
@click.argument("fields", metavar="JSON", required=False)
@click.pass_obj
def answer(remote: AskedServer, run_id: str, question: str, fields: str | None) -> None:
    """Answer a question of a run that you have taken over, with an object of its fields; without one decline to."""
    try:
        given = {"decline": True} if fields is None else {"answer": json.loads(fields)}
    except ValueError:
        raise click.BadParameter("That is not JSON.", param_hint="JSON") from None
    reply = remote.ask("POST", f"{taken(run_id)}/commands", {"type": "answer", "question_id": question, **given})
    remote.show(reply, [reply], {"answered in": text("run_id")})


@admin.command()
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


@admin.command("sign-ins")
@TENANT
@click.pass_obj
def sign_ins(remote: AskedServer, tenant: str | None) -> None:
    """List who is signed in at which MCP server."""
    answer = remote.ask("GET", "/api/admin/sign-ins", tenant=tenant)
    columns = {"user": who, "server": text("server"), "since": moment("signed_in_at")}
    remote.show(answer, answer["sign_ins"], columns)


@admin.command()
@click.pass_obj
def stops(remote: AskedServer) -> None:
    """List the agents, tools and models that are stopped."""
    answer = remote.ask("GET", "/api/stops")
    remote.show(answer, answer["stops"], STOP)


@admin.command()
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


@admin.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.pass_obj
def allow(remote: AskedServer, kind: str, name: str) -> None:
    """Allow an agent, a tool or a model again that is stopped."""
    remote.ask("DELETE", f"/api/stops/{kind}/{quote(name)}")
    answer = {"kind": kind, "name": name}
    remote.show(answer, [answer], {"allowed": lambda row: f"{row['kind']} {row['name']}"})


@admin.command("sign-out")
@click.argument("user")
@click.option("--tenant", help="Tenant of the user.")
@click.option("--own", is_flag=True, help="Say that you mean yourself.")
@click.pass_obj
def sign_out(remote: AskedServer, user: str, tenant: str | None, own: bool) -> None:
    """End all sessions of a user."""
    path = f"/api/users/{quote(user, safe='')}/sessions"
    remote.ask("DELETE", path, tenant=tenant, own="true" if own else None)
    remote.show(answer := {"user": user, "tenant": tenant}, [answer], {"signed out": who})


@admin.command()
@click.option("--all", "whole", is_flag=True, help="List also those with their default.")
@click.pass_obj
def settings(remote: AskedServer, whole: bool) -> None:
    """List the settings in force, with the source of each. Secrets are not shown."""
    answer = remote.ask("GET", "/api/admin/settings")
    listed = [row for row in answer["settings"] if whole or row["is_set"]]
    remote.show({"settings": listed}, listed, {"setting": text("name"), "value": shown, "source": text("source")})


@admin.command()
@click.pass_obj
def queues(remote: AskedServer) -> None:
    """List what is at work and what waits in each pool of the server."""
    answer = remote.ask("GET", "/api/observer/health")
    rows = [{"pool": name, "total": "", "waiting": 0} | pool for name, pool in answer["pools"].items()]
    columns = {"pool": text("pool"), "at work": number("at_work"), "waiting": number("waiting"), "of": text("total")}
    remote.show({"pools": answer["pools"]}, rows, columns)


def taken(run_id: str) -> str:
    """Return the path of a run for the operator who has taken it over."""
    return f"/api/admin/runs/{quote(run_id, safe='')}"


def who(row: Row) -> str:
    """Return the user of a row, with the tenant."""
    return str(row["user"]) if row["tenant"] is None else f"{row['user']} ({row['tenant']})"


def text(name: str) -> Callable[[Row], str]:
    """Return a column of texts."""
    return lambda row: str(row[name])


def number(name: str) -> Callable[[Row], str]:
    """Return a column of whole numbers."""
    return lambda row: f"{row[name]:,}"


def seconds(name: str) -> Callable[[Row], str]:
    """Return a column of durations."""
    return lambda row: f"{row[name]:,.0f} s"


def moment(name: str) -> Callable[[Row], str]:
    """Return a column of times, in UTC; empty for none."""
    return lambda row: "" if row[name] is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(row[name]))


def money(row: Row, currency: str) -> str:
    """Return the cost of a row; empty for none."""
    return f"{row['cost']:,.4g} {currency}".strip() if row["cost"] else ""


def shown(row: Row) -> str:
    """Return the value of a setting; of a secret, that there is one."""
    if row["secret"]:
        return "(secret)" if row["is_set"] else "(not set)"
    value = row["value"]
    return value if isinstance(value, str) else json.dumps(value)


STOP: Final[Mapping[str, Callable[[Row], str]]] = {
    "kind": text("kind"), "name": text("name"), "by": text("who"), "since": moment("at"), "reason": text("reason"),
}  # fmt: skip
