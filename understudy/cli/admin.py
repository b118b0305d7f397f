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
