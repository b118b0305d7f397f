"""A server on a log that a later release wrote: with events and steps of kinds that this one does not know."""

import json
import sqlite3
from pathlib import Path

import trio

from tests.rigs import tokens
from tests.rigs.caller import Caller
from tests.rigs.chat_client import connected
from tests.rigs.marked_text import talk
from tests.rigs.scripted_model import Call, Say, ScriptedModel, echo
from tests.rigs.serving import serving
from tests.rigs.sse import streaming
from understudy import Agent
from understudy.models.model import NoteItem
from understudy.wire.dialects import SUBPROTOCOLS

AT = "1970-01-01T00:00:05.500Z"
DREAMT = {"type": "agent_dreamt", "priority": "normal", "timestamp": AT, "message": "", "data": {"of": ["sheep", 1]}}
END = "type IN ('agent_completed', 'final_response', 'steer_taken')"


def write_later(folder: Path) -> None:
    """Add an event and a step of unknown kinds to each thread. The run of thread `cut` loses its end."""
    database = sqlite3.connect(folder / "understudy.db")
    database.execute(f"DELETE FROM events WHERE thread_id = 'cut' AND {END}")
    database.execute("UPDATE runs SET status = 'running', ended_at = NULL WHERE thread_id = 'cut'")
    database.execute("DELETE FROM messages WHERE thread_id = 'cut' AND role = 'assistant'")
    for run_id, thread in database.execute("SELECT id, thread_id FROM runs").fetchall():
        (seq,) = database.execute("SELECT max(seq) + 1 FROM events WHERE thread_id = ?", [thread]).fetchone()
        body = json.dumps(DREAMT | {"seq": seq, "thread_id": thread, "run_id": run_id}).encode()
        values = ("ann", thread, seq, "agent_dreamt", run_id, body)
        database.execute("INSERT INTO events (owner, thread_id, seq, type, run_id, body) VALUES (?,?,?,?,?,?)", values)
        database.execute("UPDATE threads SET last_seq = ? WHERE id = ?", [seq, thread])
        step = (run_id, 900, "prophecy", "dream", None, "{}", '{"sheep": 1}', "odd", 1.0, 2.0)
        database.execute(f"INSERT INTO steps VALUES ({','.join('?' * len(step))})", step)
    database.commit()
    database.close()


async def test_events_of_a_later_release_are_passed_on_and_stop_no_reader(tmp_path: Path) -> None:
    options = {"secret": tokens.SECRET, "models_words_per_s": 5000.0}
    token, model = tokens.token("ann"), ScriptedModel(Call([("echo", {"text": "a"})]), Say("one"))
    agent = Agent("script", tools=[echo], model=model)
    async with serving(tmp_path, agent, **options) as running, connected(running.address, token) as client:
        await talk(client, "go", "done")
        await talk(client, "go", "cut")
    await trio.to_thread.run_sync(write_later, tmp_path)

    async with serving(tmp_path, agent, **options) as running:
        ann = Caller(running, token)
        for subprotocol in SUBPROTOCOLS:
            async with connected(running.address, token, subprotocols=[subprotocol], welcome=False) as client:
                await client.send({"type": "resume", "payload": {"threads": {"done": 0}}})
                while (dreamt := await client.read())["type"] != "agent_dreamt":
                    pass
                shown = dreamt.get("data") or dreamt.get("payload") or dreamt
                assert shown["of"] == ["sheep", 1], subprotocol
        async with connected(running.address, token) as client:
            await client.send({"type": "resume", "payload": {"threads": {"cut": 0}}})
            end = await client.until("error")
            assert (end["data"]["code"], end["run_id"] is None) == ("run_interrupted", False)
            assert "newer release" in end["data"]["message"]
            assert (await talk(client, "and now?", "done"))["data"]["status"] == "success"
            notes = [item.content for item in model.inputs[-1].items if isinstance(item, NoteItem)]
            assert any("a newer release of the server did it" in note for note in notes)
        log = (await ann.get("/api/threads/cut/events?after=0"))["events"]
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
        assert [event["type"] for event in log if event["type"] in ("error", "final_response")] == ["error"]
        for run in (await ann.get("/api/runs"))["runs"]:
            await ann.get(f"/api/runs/{run['run_id']}")
            await ann.get(f"/api/runs/{run['run_id']}/events")
        assert len((await ann.get("/api/threads/done/messages"))["messages"]) == 4
        exported = await ann.get("/api/me/export?events=true")
        assert "prophecy" in json.dumps(exported)
        assert json.dumps(exported).count("agent_dreamt") == 2
        async with streaming(running.address, "/api/threads/done/stream?after=0", token) as stream:
            await stream.until("agent_dreamt")
