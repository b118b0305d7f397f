"""The commands `/memory` and `/forget` of `understudy chat`: users list, change and delete what agents remember."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from understudy.cli.chat_command import Ask, ChatCommand
from understudy.cli.output import one_line


async def run_memory_command(ask: Ask, _agent: str, words: str) -> list[str]:
    """List what is remembered, or change the value that `words` name. Return the lines to show."""
    entries = await _entries(ask)
    name, _, text = words.partition(" ")
    if not name:
        return [f"{_place(row)}: {_written(row['value'])}" for row in entries] or ["nothing is remembered about you"]
    entry = _single(entries, name)
    if entry is None or not text.strip():
        return [f"{_choice(entries, name)}, and a text"]
    await ask("PUT", _path(entry), {"value": text.strip(), "if_updated_at": entry["updated_at"]})
    return [f"{_place(entry)} is changed"]


async def run_forget_command(ask: Ask, _agent: str, words: str) -> list[str]:
    """Delete the value that `words` name, or everything. Return the lines to show."""
    name, _, _ = words.partition(" ")
    if name == "everything":
        await ask("DELETE", "/api/memory")
        return ["everything is forgotten"]
    entries = await _entries(ask)
    entry = _single(entries, name)
    if entry is None:
        return [_choice(entries, name)]
    await ask("DELETE", f"{_path(entry)}?{urlencode({'if_updated_at': entry['updated_at']})}")
    return [f"{_place(entry)} is forgotten"]


async def _entries(ask: Ask) -> list[dict[str, Any]]:
    entries, cursor = [], ""
    while True:
        page = await ask("GET", f"/api/memory?{urlencode({'cursor': cursor})}")
        entries += page["memory"]
        if (cursor := page.get("next_cursor") or "") == "":
            return entries


def _named(entries: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if name in (_place(entry), entry["name"])]


def _single(entries: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """Return the value of that name; None if there is none, or several notebooks have one."""
    matching = _named(entries, name)
    return matching[0] if len(matching) == 1 else None


def _choice(entries: list[dict[str, Any]], name: str) -> str:
    return f"name one of {', '.join(map(_place, _named(entries, name) or entries)) or 'nothing'}"


def _place(entry: Mapping[str, Any]) -> str:
    """Return the notebook and the name of a remembered value, fit for the screen."""
    return one_line(f"{entry['notebook']}/{entry['name']}")


def _path(entry: Mapping[str, Any]) -> str:
    return f"/api/memory/{quote(_place(entry))}"


def _written(value: Any) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value))


CHAT: Final = (
    ChatCommand("/memory", "what agents remember about you; /memory NAME TEXT changes it", run_memory_command),
    ChatCommand("/forget", "/forget NAME has agents forget it, /forget everything all", run_forget_command),
)
