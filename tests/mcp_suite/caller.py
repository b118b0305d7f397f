"""One scenario of a client: an agent calls the tools of the suite's server, and its user signs in and answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import new_token
from tests.rigs.mcp_sign_in import signed_in
from tests.rigs.serving import serving
from understudy import Agent, Emit, Reply, TextDelta, ToolRequest, Turn, mcp

NAME: Final = "notes"
"""Name of the suite's server here, as that of the sign-ins of the tests."""
OF_OURS: Final = {f"{NAME}_sign_in", "list_resources", "read_resource"}
SIGN_INS: Final = 4
"""Sign-ins of one scenario that a user would make."""
NO_CALLS: Final = ("initialize", "json-schema-ref-no-deref", "request-metadata")
"""Scenarios whose servers have no tool that is to be called."""
REFUSED: Final = {
    *("auth/iss-normalized", "auth/iss-supported-missing", "auth/iss-unexpected", "auth/iss-wrong-issuer"),
    *("auth/metadata-issuer-mismatch", "auth/resource-mismatch", "auth/scope-retry-limit"),
}
"""Scenarios that must not go well: of servers that are not to be trusted, or never content with a scope."""
MADE: Final = {"number": 2.5, "integer": 2, "boolean": True, "array": [], "object": {}}
"""A value of each type of JSON; a text of any other."""


def value_for(schema: Mapping[str, Any]) -> Any:
    """Return some value that fits a parameter."""
    return schema.get("default", schema.get("enum", [MADE.get(str(schema.get("type")), "text")])[0])


@frozen
class Caller:
    """A model that signs in if it must, then makes the calls that are wanted, else one of each tool, and ends."""

    wanted: list[dict[str, Any]] | None
    name = "caller"
    notice = "Calls tools."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Take a turn."""
        tools = {part.name: part.parameters for part in turn.tools if part.name not in OF_OURS}
        done = {getattr(part, "name", "") for part in turn.work}
        if f"{NAME}_sign_in" in {part.name for part in turn.tools} - done:
            return Reply(calls=(ToolRequest("s", f"{NAME}_sign_in", {}),))
        if not tools or done - OF_OURS:
            await emit(TextDelta("Done."))
            return Reply("Done.")
        calls = [(f"{NAME}_{part['name']}", part["arguments"]) for part in self.wanted or ()] or [
            (name, {key: value_for(part) for key, part in schema.get("properties", {}).items()})
            for name, schema in tools.items()
        ]
        return Reply(calls=tuple(ToolRequest(str(at), *call) for at, call in enumerate(calls)))


async def play(folder: Path, url: str, scenario: str, context: Mapping[str, Any]) -> str:
    """Play a scenario of the server at this address. Return why it did not go well, or nothing."""
    signs_in = scenario.startswith("auth/")
    registered = {name: context[name] for name in ("client_id", "client_secret") if name in context}
    server = mcp(url, name=NAME, approval=False, timeout_s=20, auth="user" if signs_in else None, **registered)
    agent = Agent("suite", tools=[server], model=Caller(context.get("toolCalls")))
    async with serving(folder, agent, local_operator=False) as running:
        token = await new_token(running)
        if signs_in and (status := (await signed_in(running, token))[0]) not in (200, 303):
            return f"the sign-in ended in {status}"
        async with connected(running.address, token) as client:
            await client.say("go", agent_type="suite", thread_id="a")
            return await talk(client, running, token, calls=scenario not in NO_CALLS)


async def talk(client: ChatClient, running: Any, token: str, *, calls: bool) -> str:
    """Answer what is asked, to the end of the run. Return why it did not go well, or nothing."""
    sign_ins, settled, failed = 0, not calls, ""
    while True:
        event = await client.read()
        data = event.get("data", {})
        match event["type"]:
            case "question_asked" if data.get("sign_in"):
                sign_ins += 1
                answer: dict[str, Any] = {"question_id": data["question_id"], "decline": True}
                if sign_ins > SIGN_INS:
                    await client.send({"type": "answer", "payload": answer})
                else:
                    await signed_in(running, token, question_id=data["question_id"])
            case "question_asked":
                fields = data["schema"].get("properties", {}).items()
                arguments = {key: value_for(field) for key, field in fields}
                answer = {"question_id": data["question_id"], "answer": arguments}
                await client.send({"type": "answer", "payload": answer})
            case "tool_completed":
                settled = True
                failed = failed or ("" if data["status"] == "ok" else json.dumps(data["result_summary"])[:300])
            case "final_response" if data["status"] == "success":
                return failed or ("" if settled else "no tool was called")
            case "final_response" | "error":
                return failed or json.dumps(data["message"])[:300]
