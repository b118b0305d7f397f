"""The tutorials' programs as a reader has them who copies each step to the letter, and what the pages say of them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from tests.rigs.doc_tables import DOCS, ROOT
from tests.rigs.documented_server import Peer, connected
from tests.rigs.process import READY, READY_S, Process

TEXT = (DOCS / "tutorial" / "first-agent.md").read_text()
STEPS = re.split(r"^## \d+\. ", TEXT, flags=re.MULTILINE)
"""What stands before the first step, and each step."""
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "UNDERSTUDY_PORT": "0",
}


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{re.escape(kind)}\n(.*?)```", text, re.DOTALL)


def program(step: int) -> str:
    """Return `my_app.py` after a step: its blocks at the end of the file, the agent of the step before deleted."""
    kept: list[str] = []
    for text in STEPS[1 : step + 1]:
        for block in blocks(text, 'python title="my_app.py"'):
            if block.startswith("support ="):
                kept = [earlier for earlier in kept if not earlier.startswith("support =")]
            kept.append(block)
    return "\n\n".join(kept)


@asynccontextmanager
async def after(step: int, folder: Path, command: str) -> AsyncIterator[Process]:
    """Start the server of a step with a command of the page, on a free port."""
    assert command in TEXT
    (folder / "my_app.py").write_text(program(step))
    start = partial(trio.run_process, shlex.split(command), cwd=folder, env=ENVIRONMENT, check=False)
    async with trio.open_nursery() as nursery:
        process = await nursery.start(partial(start, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        output = b""
        with trio.fail_after(READY_S):
            while not output.endswith(b"\n"):
                output += await process.stdout.receive_some() or b"(the server has ended)\n"
        assert output.decode().startswith(READY)
        server = Process(process, output.decode().removeprefix(READY).strip())
        yield server
        assert await server.terminate() == 0
        assert (folder / "data" / "understudy.db").is_file()


async def ask(peer: Peer, question: str, tool: str, summary: str, **more: object) -> dict[str, str]:
    """Ask what the page says. Return the last tool call, which is of this tool and has this summary."""
    assert f"*{question}*" in TEXT.replace("\n", " ")
    await peer.say(question, "support", **more)
    while (event := await peer.until("final_response", "error", "question_asked", "approval_required"))["type"] not in {
        "final_response",
        "error",
    }:
        if event["type"] == "question_asked":
            assert (event["data"]["title"], event["data"]["text"]) == ("Delivery", "Where shall it go?")
            answer = {"town": "Ulm", "express": True}
            await peer.send("answer", question_id=event["data"]["question_id"], answer=answer)
        else:
            await peer.send("approve", call_id=event["data"]["call_id"], decision="allow")
    call: dict[str, str] = peer.all("tool_completed")[-1]["data"]
    assert (call["tool_name"], summary in event["data"]["message"]) == (tool, True)
    return call


def test_the_last_step_is_the_example() -> None:
    imports = program(7).partition("\n")[0]
    _, separator, rest = (ROOT / "examples" / "support.py").read_text().partition(imports)
    assert re.sub("\n+", "\n", program(7)) == re.sub("\n+", "\n", separator + rest)


async def test_the_first_steps_answer_in_the_page_and_in_a_terminal(tmp_path: Path) -> None:
    async with after(3, tmp_path, "understudy serve my_app:support") as server:
        async with connected(server) as peer:
            assert (await peer.ask("What is 15% of 80?"))["data"]["message"] == "15% of 80 = 12"
            await ask(peer, "Look up order A-17", "lookup", "desk lamp")
            assert "By a form: Lookup." in (await peer.ask("And Z-9?", "support"))["data"]["message"]
            form = {"settings": {"tool": "lookup"}, "context": {"order_id": "Z-9"}}
            refused = await ask(peer, "Lookup", "lookup", "There is no order Z-9; a number looks like A-17.", **form)
            assert refused["status"] == "failed"
        _, (_, *chat) = map(shlex.split, blocks(STEPS[3], "console"))
        chat += ["--url", server.address]
        finished = await trio.run_process(chat, env=ENVIRONMENT, stdin=b"Look up order A-17", capture_stdout=True)
        assert b"desk lamp" in finished.stdout


async def test_a_form_is_answered_after_a_restart(tmp_path: Path) -> None:
    async with after(4, tmp_path, "understudy serve my_app:support") as server, connected(server) as peer:
        await peer.say("Deliver A-18 to another town", "support")
        await peer.until("question_asked")
        token = peer.all("welcome")[0]["data"].get("session_token")
    async with after(4, tmp_path, "understudy serve my_app:support") as server, connected(server, token) as again:
        await again.send("resume", threads={peer.thread_id: 0})
        question = await again.until("question_asked")
        await again.send("answer", question_id=question["data"]["question_id"], answer={"town": "Ulm", "express": True})
        assert (await again.until("final_response"))["data"]["message"] == "The tea pot goes to Ulm, express."


async def test_a_cancellation_needs_consent_and_is_undone(tmp_path: Path) -> None:
    async with after(5, tmp_path, "understudy serve my_app:support") as server, connected(server) as peer:
        call = await ask(peer, "Cancel order A-18", "cancel", "A-18, tea pot: cancelled")
        await peer.send("undo", call_id=call["call_id"])
        assert (await peer.until("call_undone"))["data"]["status"] == "ok"
        form = {"settings": {"tool": "lookup"}, "context": {"order_id": "A-18"}}
        assert "being packed" in (await peer.ask("Lookup", "support", **form))["data"]["message"]


async def test_both_agents_answer_from_a_shell_and_from_python(tmp_path: Path) -> None:
    for step, command in ((6, "understudy serve my_app:AGENTS"), (7, "python my_app.py")):
        async with after(step, tmp_path, command) as server, connected(server) as peer:
            question = "What is the postage of 1200 g, express?"
            await ask(peer, question, "postage", "10.50 for 1,200 g, express")
            (handoff,) = peer.all("agent_handoff")
            assert (handoff["data"]["from"], handoff["data"]["to"]) == ("support", "parcels")


async def test_the_tests_of_the_tutorial_pass(tmp_path: Path) -> None:
    (tmp_path / "my_app.py").write_text(program(7))
    (block,) = blocks(STEPS[8], 'python title="test_my_app.py"')
    (tmp_path / "test_my_app.py").write_text(block)
    (command,) = re.findall(r"`(python -m pytest [^`]*)`", STEPS[8])
    done = await trio.run_process(shlex.split(command), cwd=tmp_path, env=ENVIRONMENT, capture_stdout=True, check=False)
    assert b"4 passed" in done.stdout, done.stdout
