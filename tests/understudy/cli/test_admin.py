"""`understudy admin` against a real server over a socket: what it prints, and what it is refused."""

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.rigs.admin_command import admin, lines
from tests.rigs.admin_command import folder as folder
from tests.rigs.chat_client import connected
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.server import serve as serve
from tests.rigs.server_pair import SECRET, token_of

Command = Callable[..., Coroutine[Any, Any, Result]]


async def test_a_run_is_listed_and_ended_and_its_spending_summed(serve: Any, folder: Path) -> None:
    gate = Gate()
    running = await serve(scripted(Say("one two", gate)), secret=SECRET)
    url = running.address
    async with connected(url, token_of("ada")) as client:
        await client.say("go", agent_type="script", thread_id="t")
        await gate.reached.wait()
        (_, run) = await lines(url, "runs")
        run_id = run.split()[0]
        assert run.startswith(f"{run_id} ada script model script ")
        assert (await lines(url, "users"))[1].startswith("ada 1 1 1 ")
        assert "runs 1 0 1000" in await lines(url, "queues")
        assert await lines(url, "end", run_id) == ["ended", run_id]
        gate.opened.set()
        await client.until_end()
        assert await lines(url, "runs") == ["none"]
    spent = json.loads((await admin(url, "--json", "spend", "--by", "agent")).stdout)
    assert [(row["agent"], row["runs"]) for row in spent["spending"]] == [("script", 1)]
    assert (await lines(url, "spend", "--days", "35"))[1].startswith("ada ")
    assert await lines(url, "sign-ins") == ["none"]


async def test_stopped_tools_are_listed_and_allowed_again(serve: Any, folder: Path) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    url = running.address
    done = await admin(url, "stop", "tool", "echo", "--reason", "It is wrong.")
    assert (done.exit_code, done.stderr) == (0, "")
    unknown = await admin(url, "stop", "tool", "eco", "--reason", "It is wrong.")
    assert unknown.stderr == "This server has no tool of that name now: check the spelling.\n"
    listed = await lines(url, "stops")
    assert [line.split()[:3] for line in listed[1:]] == [["tool", "echo", "admin"], ["tool", "eco", "admin"]]
    assert listed[1].endswith("It is wrong.")
    for name in ("echo", "eco"):
        assert await lines(url, "allow", "tool", name) == ["allowed", f"tool {name}"]
    assert await lines(url, "stops") == ["none"]
    refused = await admin(url, "allow", "tool", "echo")
    sentence = "Error: the server refused with 404: No tool of that name is stopped.\n"
    assert (refused.exit_code, refused.stderr) == (1, sentence)


async def test_settings_are_listed_with_their_source(serve: Any, folder: Path) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    settings = await lines(running.address, "settings")
    assert "secret (secret) UNDERSTUDY_SECRET" in settings
    assert "models.words_per_s 5000.0 command" in settings
    assert not any(line.startswith("summary_from") for line in settings)
    assert "summary_from 1 default" in await lines(running.address, "settings", "--all")
    assert SECRET not in "".join(settings)


async def test_users_are_signed_out_and_oneself_only_on_purpose(serve: Any, folder: Path) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    url = running.address
    assert await lines(url, "sign-out", "ada") == ["signed out", "ada"]
    refused = await admin(url, "sign-out", "admin")
    assert refused.exit_code == 1
    assert "That is you: it ends your own sessions" in refused.stderr
    assert await lines(url, "sign-out", "admin", "--own") == ["signed out", "admin"]


async def test_without_the_rights_or_a_server_there_is_a_sentence(serve: Any, folder: Path) -> None:
    running = await serve(scripted(Say("one")), secret=SECRET)
    refused = await admin(running.address, "--token", token_of("ada"), "users")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "Error: the server refused with 403: That needs the role operator.\n",
    )
    nobody = await admin("http://127.0.0.1:9", "users")
    assert nobody.exit_code == 1
    assert nobody.stderr.startswith("Error: there is no server at 127.0.0.1:9")
