"""A client of the MCP door that posts messages by hand."""

import json
from typing import Any

from attrs import define, field

from tests.rigs.http import request
from understudy.app.server import Running

NEWER = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEWER,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}


@define
class Desk:
    """A server with tools that ask, and the calls that it was made."""

    running: Running
    token: str
    calls: list[str] = field(factory=list)

    async def post(self, body: object, version: str = NEWER, token: str = "", **headers: str) -> tuple[int, Any]:
        """Post a message, or bytes. Return the status, and the answer as JSON."""
        sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": version, **headers}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        used = token or self.token
        status, _, answer = await request(self.running.address, "POST", "/mcp", token=used, body=data, headers=sent)
        if isinstance(answer, str):  # a stream
            answer = json.loads(answer.rpartition("data: ")[2])
        return status, answer

    async def call(self, name: str, token: str = "", **more: Any) -> dict[str, Any]:
        """Call a tool. Return the JSON-RPC answer."""
        params = {"name": name, "arguments": {}, "_meta": META, **more}
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        headers = {"Mcp-Method": "tools/call", "Mcp-Name": name}
        answer: dict[str, Any] = (await self.post(body, token=token, **headers))[1]
        return answer

    async def ask(self, name: str = "ask") -> tuple[str, str, dict[str, Any]]:
        """Call a tool that asks. Return the name of its question, the state, and the question."""
        result = (await self.call(name))["result"]
        ((key, question),) = result["inputRequests"].items()
        return key, result["requestState"], question["params"]
