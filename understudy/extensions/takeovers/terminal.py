"""The commands of `understudy admin` to take over a run, read it, steer it, answer in it, and hand it back."""

import json
from typing import Final
from urllib.parse import quote

import click

from understudy.cli.admin import AskedServer, moment, text


@click.command("take-over")
@click.argument("run_id", metavar="RUN")
@click.option("--reason", required=True, help="A sentence that says why, for the user and for auditors.")
@click.pass_obj
def take_over(remote: AskedServer, run_id: str, reason: str) -> None:
    """Take over a run of any user, to read and steer it. The user is told at once."""
    answer = remote.ask("POST", f"{taken(run_id)}/take-over", {"reason": reason})
    remote.show(answer, [answer], {"by": text("by"), "since": moment("at"), "reason": text("reason")})


@click.command("hand-back")
@click.argument("run_id", metavar="RUN")
@click.pass_obj
def hand_back(remote: AskedServer, run_id: str) -> None:
    """Hand a run back to its user that you, or another operator, have taken over. The user is told at once."""
    remote.ask("POST", f"{taken(run_id)}/hand-back")
    remote.show(answer := {"run_id": run_id}, [answer], {"handed back": text("run_id")})


@click.command()
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


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("words", metavar="TEXT")
@click.option("--now", is_flag=True, help="End the model's turn; else the run reads it before its next one.")
@click.pass_obj
def steer(remote: AskedServer, run_id: str, words: str, now: bool) -> None:
    """Send a message to a run that you have taken over."""
    body = {"type": "steer", "content": words, "mode": "now" if now else "next"}
    answer = remote.ask("POST", f"{taken(run_id)}/commands", body)
    remote.show(answer, [answer], {"sent to": text("run_id")})


@click.command()
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


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("question")
@click.argument("fields", metavar="JSON", required=False)
@click.pass_obj
def answer(remote: AskedServer, run_id: str, question: str, fields: str | None) -> None:
    """Answer a question of a run that you have taken over, with an object of its fields; without one decline to."""
    try:
        body = {"decline": True} if fields is None else {"answer": json.loads(fields)}
    except ValueError:
        raise click.BadParameter("That is not JSON.", param_hint="JSON") from None
    reply = remote.ask("POST", f"{taken(run_id)}/commands", {"type": "answer", "question_id": question, **body})
    remote.show(reply, [reply], {"answered in": text("run_id")})


def taken(run_id: str) -> str:
    """Return the path of a run in the API for operators who take over runs."""
    return f"/api/admin/runs/{quote(run_id, safe='')}"


ADMIN: Final = (take_over, hand_back, show, steer, decide, answer)
