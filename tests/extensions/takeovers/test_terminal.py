"""The commands of `understudy admin` about runs that an operator takes over, against a real server over a socket."""

import json
from pathlib import Path
from typing import Any

from tests.rigs.admin_command import admin, lines
from tests.rigs.admin_command import folder as folder
from tests.rigs.chat_client import connected
from tests.rigs.questions import PEARS, order
from tests.rigs.scripted_model import Call, ScriptedModel, send_mail
from tests.rigs.server_pair import SECRET, token_of
from understudy import Agent


async def test_a_run_is_taken_over_read_steered_and_ended(serve: Any, folder: Path) -> None:
    script = ScriptedModel(Call([("send_mail", {"to": "ada"})]), Call([("order", {})]))
    running = await serve(Agent("fruit", tools=[order, send_mail], model=script), secret=SECRET)
    url = running.address
    async with connected(url, token_of("ada")) as client:
        await client.say("Some fruit", agent_type="fruit", thread_id="t")
        run_id = (await client.until("approval_required"))["run_id"]
        refused = await admin(url, "show", run_id)
        assert (refused.exit_code, "Take over that run first" in refused.stderr) == (1, True)
        assert (await lines(url, "take-over", run_id, "--reason", "You called"))[1].endswith("You called")
        output = await lines(url, "show", run_id)
        (waiting,) = [line.split() for line in output if line.startswith("approval ")]
        assert any(line.endswith("message_accepted Some fruit") for line in output)
        await lines(url, "decide", run_id, waiting[1], "deny", "--note", "Not now")
        question = (await client.until("question_asked"))["data"]["question_id"]
        assert await lines(url, "steer", run_id, "Pears") == ["sent to", run_id]
        assert "That is not JSON." in (await admin(url, "answer", run_id, question, "pears")).stderr
        await lines(url, "answer", run_id, question, json.dumps(PEARS))
        await client.until("approval_required")
        assert await lines(url, "hand-back", run_id) == ["handed back", run_id]
        assert (await admin(url, "show", run_id)).exit_code == 1
        await lines(url, "take-over", run_id, "--reason", "Again")
        await lines(url, "end", run_id, "--reason", "Enough")
        await client.until_end()
        document = json.loads((await admin(url, "--json", "show", run_id)).stdout)
    assert document["run"]["taken_over"]["by"] == "admin"
    data = {event["type"]: event["data"] for event in document["events"]}
    assert data["steer_accepted"]["content"] == "Pears"
    assert (data["approval_decided"]["decision"], data["approval_decided"]["note"]) == ("deny", "Not now")
    assert data["question_answered"]["answer"] == PEARS
    assert data["agent_thinking"]["thought"] == "An operator has ended this run: Enough"
