"""The command `/prompts` of `understudy chat`: lists the prompts of MCP servers, and fetches one for a message."""

import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from understudy.cli.chat_command import Ask
from understudy.cli.output import one_line

USAGE: Final = "/prompts SERVER:NAME argument=value …  sends a prompt; a value with blanks stands in quotes"


async def list_prompts(ask: Ask, thread_id: str) -> list[str]:
    """Return the prompts as lines. `ask` sends a request and may raise."""
    listed = (await ask("GET", f"/api/threads/{quote(thread_id, safe='')}/prompts"))["prompts"]
    return [_describe(prompt) for prompt in listed] or ["there are no prompts"]


async def read_prompt(ask: Ask, thread_id: str, words: str) -> str | None:
    """Return the text of the prompt that these words name, None if they name none. `ask` may raise."""
    try:
        named, *pairs = shlex.split(words)
    except ValueError:  # a quote is not closed
        return None
    server, colon, name = named.partition(":")
    if not colon or not name or not all("=" in argument for argument in pairs):
        return None
    arguments = dict(argument.split("=", 1) for argument in pairs)
    path = f"/api/threads/{quote(thread_id, safe='')}/prompts"
    return str((await ask("POST", path, {"server": server, "name": name, "arguments": arguments}))["text"])


def _describe(prompt: Mapping[str, Any]) -> str:
    names = [argument["name"] if argument["required"] else f"[{argument['name']}]" for argument in prompt["arguments"]]
    words = " ".join([f"{prompt['server']}:{prompt['name']}", *(f"{name}=…" for name in names)])
    return one_line(f"{words} · {prompt['description']}")
