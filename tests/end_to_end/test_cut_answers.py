"""An answer that is cut, however its run ends: the event of its end has all of its text, as the history has."""

from typing import Any

import pytest
import trio
from attrs import evolve

from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import TERMINAL, ChatClient, check_arc, connected
from tests.rigs.http import get
from tests.rigs.server_pair import SECRET, token_of
from understudy import Agent, Reply, Turn
from understudy.app.server import Running
from understudy.chat.answer.stream import CHECKPOINT_S
from understudy.models.model import Emit, ModelUnavailable, TextDelta

TEXT = "# Title\n\nSome **words** and *half of "
TEXTS = (TEXT, f"{TEXT}it")
"""What was held back may be released before the end."""


class Halting:
    """Writes `TEXT`, then waits; it is lost as soon as `fails` is set, and when it is asked again."""

    name = "halting"
    notice = "A script for tests."

    def __init__(self) -> None:
        self.fails = trio.Event()
        self.asked = 0

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.asked += 1
        if self.asked == 1:
            for at in range(0, len(TEXT), 5):
                await emit(TextDelta(TEXT[at : at + 5]))
            await trio.sleep(2 * CHECKPOINT_S)
            await emit(TextDelta("it"))
            await self.fails.wait()
        raise ModelUnavailable("The connection to the language model was lost.", True, "lost")


async def saved(running: Running, run_id: str) -> None:
    while "*half of" not in str([step.result for step in await running.store.steps(run_id)]):  # noqa: ASYNC110
        await trio.sleep(0.02)


async def end(how: str, running: Running, client: ChatClient, model: Halting) -> None:
    if how == "lost":
        model.fails.set()
    elif how == "stopped":
        await client.send({"type": "cancel", "payload": {"run_id": client.seen[-1]["run_id"]}})
    elif how == "killed":
        (run,) = find(running, KINDS["run"])
        run.kill()


@pytest.mark.parametrize(
    "how", ["lost", "stopped", pytest.param("timed out", marks=pytest.mark.proof("timing")), "killed"]
)
async def test_the_text_of_a_cut_answer_comes_with_its_end(serve: Any, how: str) -> None:
    model = Halting()
    agent = Agent("halting", model=model)
    running = await serve(evolve(agent, timeout_s=8.0) if how == "timed out" else agent, secret=SECRET)
    token = token_of()
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="halting", thread_id="t")
        shown = ""
        with trio.fail_after(60):
            while shown != TEXT:
                shown += (await client.until("partial_result"))["data"]["text"]
            if how == "killed":
                await saved(running, client.seen[-1]["run_id"])
            await end(how, running, client, model)
            last = await client.until_end()
        check_arc(client.durable())
    kind, status = ("final_response", "cancelled") if how == "stopped" else ("agent_completed", "failed")
    (carrier,) = [event["data"] for event in client.seen if event["type"] == kind]
    assert (carrier["status"], last["type"] in TERMINAL) == (status, True)
    answer = (await get(running, "/api/threads/t/turns", token))["turns"][0]["answer"]
    assert carrier["message" if how == "stopped" else "result"] == answer["content"]
    assert answer["content"] in TEXTS
