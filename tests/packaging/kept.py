"""One of each kind of thing that is stored, left with an earlier release and looked for with a later one, as a client.

What is left in the threads `ENDED` has ended, what is left in `WAITING` goes on after the upgrade. Rows that need other
servers (`MADE_UP`) are written into the database, and must be there afterwards, byte for byte.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from sqlalchemy import JSON, Boolean, Engine, Float, Integer, LargeBinary, create_engine, insert, inspect, select

from understudy.storage.schema import whole

if TYPE_CHECKING:
    from tests.packaging.upgrade import Server

ENDED: Final = {
    "edited": "plain", "undone": "booking", "handed": "handing", "asked": "asking", "spent": "spent",
    "failed": "failing", "noted": "noting", "worked": "written", "allowed": "careful", "cancelled": "careful",
    "hooked": "plain",
}  # fmt: skip
"""Threads whose runs have ended before the upgrade, by the agent of each."""
WAITING: Final = {"consent": "careful", "form": "filling", "client": "caller", "held": "holding"}
"""Threads whose runs wait for a consent, a form and a tool of the client. The run of `held` is killed in a call: it has
not taken its steer, and a message waits behind it."""
WAIT_FROM: Final = {"consent": "approval_required", "form": "question_asked", "held": "tool_executing"}
"""The event from which on the run of a thread waits, but for the one that an API waits for."""
MADE_UP: Final = (
    "accounts", "agent_states", "memberships", "oauth_clients", "passkey_challenges", "passkeys", "provider_sessions",
    "pushes", "servers_off", "sign_in_attempts", "sign_in_starts", "sign_ins",
)  # fmt: skip
"""Tables that providers of identities, MCP servers, frameworks, devices and receivers fill."""
EMPTY: Final = {
    "audit_retention": "a row only once entries of the log have expired",
    "file_parts": "in SQLite the bytes of files lie in a folder",
    "inbox": "what nodes ask of each other, for seconds",
    "nodes": "of servers that share a database, while they live",
    "shared_counts": "what nodes count together, for minutes",
}
"""Tables in which nothing is left, and why."""
VALUES: Final = ((JSON, []), (Boolean, True), (Float, 4e9), (Integer, 1), (LargeBinary, b"\x00sealed\xff"))
ENDS: Final = ("final_response", "error")
WAIT_S: Final = 60.0
OPERATOR: Final = {"user": "op", "roles": ("operator", "auditor")}
CLIENT_TOOL: Final = {
    "type": "function", "name": "weather", "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip


@frozen
class Left:
    """What the earlier release was asked and said: `asked` are the events by which runs wait, by thread; `said` are its
    answers to `reads`; `rows` those that were made up."""

    asked: Mapping[str, dict[str, Any]]
    said: Mapping[str, Any]
    rows: Mapping[str, list[Any]]


def engine_of(data: Path, environment: Mapping[str, str]) -> Engine:
    """Return an engine on the database of a server."""
    url = environment.get("UNDERSTUDY_DATABASE_URL", "")
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://") or f"sqlite:///{data}/understudy.db")


def say(server: "Server", thread: str, agent: str, message_id: str = "", **more: Any) -> str:
    """Send a message. Return the id of its run."""
    payload = {"content": "go", "thread_id": thread, "agent_type": agent, "message_id": message_id or f"{thread}-m"}
    answer = server.ask("POST", "commands", json={"type": "user_message", "payload": payload | more})
    return str(answer.json()["run_id"])


def command(server: "Server", kind: str, **payload: Any) -> None:
    server.ask("POST", "commands", json={"type": kind, "payload": payload})


def until(server: "Server", thread: str, holds: Callable[[list[dict[str, Any]]], Any]) -> Any:
    """Return what `holds` says of the events of a thread, once that is true."""
    deadline = time.monotonic() + WAIT_S
    while not (matches := holds(server.events(thread))):
        assert time.monotonic() < deadline, (thread, [event["type"] for event in server.events(thread)])
        time.sleep(0.05)
    return matches


def first(server: "Server", thread: str, kind: str) -> dict[str, Any]:
    """Return the first event of this type, once it is there."""
    matches: list[dict[str, Any]] = until(server, thread, lambda log: [event for event in log if event["type"] == kind])
    return matches[0]


def has_ended(server: "Server", thread: str, runs: int = 1) -> None:
    """Wait until as many runs of a thread have ended: each once, and in none is a call open."""
    until(server, thread, lambda log: sum(event["type"] in ENDS for event in log) >= runs)
    log = server.events(thread)
    ends = [event["run_id"] for event in log if event["type"] in ENDS]
    assert len(ends) == len(set(ends)) == runs, (thread, ends)
    calls = [
        {event["data"]["call_id"] for event in log if event["type"] == kind}
        for kind in ("tool_executing", "tool_completed")
    ]
    assert calls[0] == calls[1], (thread, calls)


def leave(server: "Server", data: Path, environment: Mapping[str, str]) -> Left:
    """Leave one of each kind. The runs of `WAITING` wait then, and no table is empty without a reason."""
    runs = {thread: say(server, thread, agent) for thread, agent in ENDED.items() if thread != "hooked"}
    say(server, "hooked", ENDED["hooked"], settings={"webhook": "http://127.0.0.1:9/hook"})
    call_id = first(server, "allowed", "approval_required")["data"]["call_id"]
    command(server, "approve", call_id=call_id, decision="allow", remember=True)
    first(server, "cancelled", "approval_required")
    command(server, "cancel", run_id=runs["cancelled"])
    for thread in ENDED:
        has_ended(server, thread)
    command(server, "undo", run_id=runs["undone"])
    first(server, "undone", "call_undone")
    command(server, "feedback", message_id=f"answer-{runs['edited']}", rating="up", note="Well said")
    command(server, "edit", message_id="edited-m", content="go on", new_message_id="edited-n")
    has_ended(server, "edited", 2)
    command(server, "regenerate", message_id="edited-m", request_id="again")
    has_ended(server, "edited", 3)
    server.ask("PATCH", "threads/edited", json={"title": "Renamed", "pinned": True, "tags": ["work"]})
    server.ask("PATCH", "threads/worked", json={"archived": True})
    server.ask("POST", "threads/edited/shares", json={})
    server.ask("PUT", "stops/tool/none", json={"reason": "It is not there"}, **OPERATOR)
    server.ask("DELETE", "sessions", user="gone")
    with (engine := engine_of(data, environment)).begin() as connection:
        for name in sorted(MADE_UP, key=lambda each: each == "passkeys"):  # which need an account
            table = whole().tables[name]
            edited = {"owner": "ann", "thread_id": "edited", "last_day": None}  # of a member who still is one
            row = {
                each.name: next((v for kind, v in VALUES if isinstance(each.type, kind)), "made up") for each in table.c
            }
            values = {name: edited.get(name, value) for name, value in row.items()}
            connection.execute(insert(table).values(values))
    engine.dispose()
    questions: dict[str, dict[str, Any]] = {}
    for thread, event in WAIT_FROM.items():
        say(server, thread, WAITING[thread])
        questions[thread] = first(server, thread, event)
    command(server, "steer", run_id=questions["held"]["run_id"], content="And in short", steer_id="s")
    say(server, "held", "plain", "held-n")
    body = {"model": WAITING["client"], "input": "go", "tools": [CLIENT_TOOL]}
    questions["client"] = server.ask("POST", "/v1/responses", json=body).json()
    rows = rows_of(data, environment)
    assert {name for name, stored in rows.items() if not stored} <= set(EMPTY), rows
    return Left(questions, reads(server), {name: rows[name] for name in MADE_UP})


def rows_of(data: Path, environment: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the rows of each table that there is: a later release may have taken one away."""
    with (engine := engine_of(data, environment)).connect() as connection:
        tables = [whole().tables[name] for name in inspect(connection).get_table_names() if name in whole().tables]
        rows = {table.name: list(map(tuple, connection.execute(select(table)))) for table in tables}
    engine.dispose()
    return rows


def reads(server: "Server") -> dict[str, Any]:
    """Return what a server says of all that does not go on."""
    answers: dict[str, Any] = {}
    for thread in ENDED:
        for path in ("", "/messages", "/turns", "/events", "/shares", "/consents", "/export?events=true"):
            answers[f"{thread}{path}"] = server.ask("GET", f"threads/{thread}{path}").json()
            answers[f"{thread}{path}"].pop("exported_at", None)
        for run in server.ask("GET", f"runs?thread={thread}").json()["runs"]:
            answers[f"run {run['run_id']}"] = server.ask("GET", f"runs/{run['run_id']}").json()
    for path in ("memory", "schedules", "tags"):
        answers[path] = server.ask("GET", path).json()
    answers["stops"] = server.ask("GET", "stops", **OPERATOR).json()
    answers["audit"] = server.ask("GET", "audit?limit=200", **OPERATOR).json()["entries"]
    return answers


def check(server: "Server", left: Left, data: Path, environment: Mapping[str, str]) -> None:
    """Read what has ended: it is said as before. What waited goes on, and each run ends once."""
    now, audit = reads(server), left.said["audit"]
    assert [entry for entry in now["audit"] if entry in audit] == audit
    different = [name for name in left.said if name != "audit" and now[name] != left.said[name]]
    assert not different, [(left.said[name], now[name]) for name in different]
    rows = rows_of(data, environment)
    changed = {name: (was, rows[name]) for name, was in left.rows.items() if rows.get(name, was) != was}
    assert changed == {}, changed
    command(server, "approve", call_id=left.asked["consent"]["data"]["call_id"], decision="allow")
    question = left.asked["form"]["data"]["question_id"]
    command(server, "answer", question_id=question, answer={"city": "Graz"})
    call = left.asked["client"]["output"][-1]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    done = server.ask("POST", "/v1/responses", json={"model": WAITING["client"], "input": [result]}).json()
    assert done["status"] == "completed", done
    for thread in ("consent", "form"):
        has_ended(server, thread)
        (call,) = [entry["data"] for entry in server.events(thread) if entry["type"] == "tool_completed"]
        assert call["status"] == "ok", call
    has_ended(server, "held", 2)
    exported = {entry["thread"]["id"] for entry in server.ask("GET", "me/export").json()["threads"]}
    assert exported >= {*ENDED, "consent", "form", "held"}


def erase(server: "Server", data: Path, environment: Mapping[str, str]) -> None:
    """Erase the user: no table has a row of theirs any more."""
    server.ask("DELETE", "me", json={"confirm": "ann"})
    places = {name: list(table.columns.keys()) for name, table in whole().tables.items() if "owner" in table.c}
    rows = rows_of(data, environment)
    left = {
        name: [row for row in rows[name] if row[columns.index("owner")] == "ann"] for name, columns in places.items()
    }
    assert not any(left.values()), left
