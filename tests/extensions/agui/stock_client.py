"""The stock AG-UI client from npm."""

import json
from pathlib import Path
from typing import Any

import trio

from tests.servers.needed import program

STOCK = Path(__file__).resolve().parents[2] / "stock_agui"
RUN_S = 60


async def node(*words: str) -> Any:
    with trio.fail_after(RUN_S):
        command = [str(program("node")), *words]
        result = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    return json.loads(result.stdout)


async def run_script(folder: Path, text: str) -> Any:
    path = folder / "script.mjs"
    await trio.Path(path).write_text(text)
    return await node(str(path))


def calls_of(messages: list[dict[str, Any]]) -> list[str]:
    named = [call["function"] for message in messages for call in message.get("toolCalls", [])]
    results = [message["content"] for message in messages if message["role"] == "tool"]
    return [f"{call['name']} {call['arguments']} {result}" for call, result in zip(named, results, strict=True)]
