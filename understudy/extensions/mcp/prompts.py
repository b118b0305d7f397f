"""Prompts of MCP servers: texts that users begin a message with. Listed, and got with arguments, within bounds."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import trio
from attrs import evolve, field, frozen

from understudy.extensions.mcp.link import McpLink
from understudy.extensions.mcp.results import embedded, read_blocks, read_text
from understudy.tools.errors import ToolError

MAX_PROMPTS: Final = 100
"""Prompts of one server; further ones are left out."""
MAX_ARGUMENTS: Final = 30
MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 1000
"""Characters of a description; the rest is cut off."""
MAX_ARGUMENT: Final = 8000
"""Characters of the value of an argument; a longer one is refused."""
MAX_MESSAGES: Final = 50
MAX_TEXT: Final = 32_000
"""Characters of all messages of a prompt together; the rest is cut off."""
CUT: Final = "[The rest is cut off.]"
FRESH_S: Final = 30.0
"""Seconds for which a list is not read again."""
_KEPT: Final = "prompts"


@frozen
class Argument:
    """An argument of a prompt; its value is a text."""

    name: str
    description: str
    required: bool


@frozen
class Prompt:
    """One prompt as its server describes it. `name` is the server's."""

    name: str
    title: str
    description: str = field(repr=False)
    arguments: tuple[Argument, ...] = ()

    def check(self, given: Mapping[str, str]) -> None:
        """Raise `ToolError` ``invalid_arguments``, with a sentence, unless it can be got with these arguments."""
        wrong = partial(ToolError, "invalid_arguments")
        names = {argument.name for argument in self.arguments}
        for name, value in given.items():
            if name not in names:
                takes = ", ".join(sorted(names)) or "none"
                raise wrong(f"{self.name} has no argument {name[:MAX_NAME]!r}; it takes {takes}.")
            if len(value) > MAX_ARGUMENT:
                raise wrong(f"The argument {name!r} has more than {MAX_ARGUMENT:,} characters.")
        for argument in self.arguments:
            if argument.required and not given.get(argument.name):
                raise wrong(f"{self.name} needs the argument {argument.name!r}.")


def read_prompts(listed: Iterable[Mapping[str, Any]]) -> dict[str, Prompt]:
    """Return the listed prompts by name, without those whose names are too long."""
    prompts: dict[str, Prompt] = {}
    for prompt in listed:
        name, arguments = str(prompt.get("name") or ""), prompt.get("arguments") or []
        if name in prompts or not 0 < len(name) <= MAX_NAME or not isinstance(arguments, list):
            continue
        made = tuple(
            Argument(
                str(one["name"])[:MAX_NAME], _text(one.get("description"), MAX_DESCRIPTION), one.get("required") is True
            )
            for one in arguments
            if isinstance(one, Mapping) and one.get("name")
        )
        if len(made) > MAX_ARGUMENTS:
            continue
        title, description = _text(prompt.get("title"), MAX_NAME), _text(prompt.get("description"), MAX_DESCRIPTION)
        prompts[name] = Prompt(name, title, description, made)
        if len(prompts) == MAX_PROMPTS:
            break
    return prompts


def read_messages(said: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the messages of a prompt that was got: `role` (`user` or `assistant`) and `text`.

    Embedded texts are part of it; images and other files are named, and left out.
    """
    room, messages = MAX_TEXT, list[dict[str, str]]()
    listed = said.get("messages")
    for entry in listed[:MAX_MESSAGES] if isinstance(listed, list) else ():
        message = entry if isinstance(entry, Mapping) else {"content": entry}
        text = "\n".join(map(_text_of, read_blocks(message.get("content"))))
        shown = text if len(text) <= room else f"{text[:room]}{CUT}"
        messages.append({"role": str(message.get("role", "user")), "text": shown})
        room -= len(text)
        if room < 0:
            break
    return messages


async def prompts_of(link: McpLink) -> dict[str, Prompt]:
    """Return the prompts of a server by name, read again after `FRESH_S`. Raises `ToolError` and `SignedOut`."""
    kept: tuple[float, dict[str, Prompt]] | None = link.offer.made.get(_KEPT)
    if kept is not None and trio.current_time() < kept[0] + FRESH_S:
        return kept[1]
    prompts: dict[str, Prompt] = {}
    for name, prompt in read_prompts(await link.ask(lambda connection: connection.list_all("prompts"))).items():
        try:
            words = [(await link.clean(text))[0] for text in _words(prompt)]
        except ValueError:  # blocked
            continue
        title, description, *others = words
        arguments = tuple(
            evolve(argument, description=text) for argument, text in zip(prompt.arguments, others, strict=True)
        )
        prompts[name] = evolve(prompt, title=title, description=description, arguments=arguments)
    link.offer.made[_KEPT] = trio.current_time(), prompts
    return prompts


async def get_prompt(link: McpLink, name: str, arguments: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the messages of a prompt. Raises `ToolError`, also for arguments that do not fit, and `SignedOut`."""
    prompt = (await prompts_of(link)).get(name)
    if prompt is None:
        raise ToolError("not_found", f"{link.name} has no prompt {name[:MAX_NAME]!r}.")
    prompt.check(arguments)
    return read_messages(await link.ask(lambda connection: connection.get_prompt(name, dict(arguments))))


def _words(prompt: Prompt) -> list[str]:
    return [prompt.title, prompt.description, *(argument.description for argument in prompt.arguments)]


def _text(value: Any, limit: int) -> str:
    return " ".join(str(value or "").split())[:limit]


def _text_of(block: Mapping[str, Any]) -> str:
    text, inner = read_text(block), embedded(block)
    if text is None and isinstance(inner.get("text"), str):
        text = str(inner["text"])
    named = inner.get("uri") or inner.get("mimeType") or block.get("type")
    return f"[{_text(named, MAX_NAME)} is left out.]" if text is None else text
