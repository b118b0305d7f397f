"""Lists and gets the prompts of MCP servers, texts with which users begin a message, within limits."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import trio
from attrs import evolve, field, frozen

from understudy.extensions.mcp.link import McpLink
from understudy.extensions.mcp.results import embedded, read_blocks, read_text
from understudy.tools.errors import ToolError

MAX_PROMPTS: Final = 100
"""Limit of the prompts of one server; further ones are left out."""
MAX_ARGUMENTS: Final = 30
MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 1000
"""Limit of a description in characters; the rest is cut off."""
MAX_ARGUMENT: Final = 8000
"""Limit of an argument's value in characters; a longer one is refused."""
MAX_MESSAGES: Final = 50
MAX_TEXT: Final = 32_000
"""Limit in characters of all messages of a prompt together; the rest is cut off."""
CUT: Final = "[The rest is cut off.]"
FRESH_S: Final = 30.0
"""Seconds for which a list of prompts is cached."""
_KEPT: Final = "prompts"


@frozen
class Argument:
    """An argument of a prompt; its value is a text."""

    name: str
    description: str
    required: bool


@frozen
class Prompt:
    """One prompt as its server describes it, under the server's name of it."""

    name: str
    title: str
    description: str = field(repr=False)
    arguments: tuple[Argument, ...] = ()

    def check(self, arguments: Mapping[str, str]) -> None:
        """Raise `ToolError` ``invalid_arguments``, with a sentence, unless these arguments fit the prompt."""
        wrong = partial(ToolError, "invalid_arguments")
        names = {argument.name for argument in self.arguments}
        for name, value in arguments.items():
            if name not in names:
                takes = ", ".join(sorted(names)) or "none"
                raise wrong(f"{self.name} has no argument {name[:MAX_NAME]!r}; it takes {takes}.")
            if len(value) > MAX_ARGUMENT:
                raise wrong(f"The argument {name!r} has more than {MAX_ARGUMENT:,} characters.")
        for argument in self.arguments:
            if argument.required and not arguments.get(argument.name):
                raise wrong(f"{self.name} needs the argument {argument.name!r}.")


def read_prompts(entries: Iterable[Mapping[str, Any]]) -> dict[str, Prompt]:
    """Return the listed prompts by name, without those that exceed a limit."""
    prompts: dict[str, Prompt] = {}
    for prompt in entries:
        name, arguments = str(prompt.get("name") or ""), prompt.get("arguments") or []
        if name in prompts or not 0 < len(name) <= MAX_NAME or not isinstance(arguments, list):
            continue
        read = tuple(
            Argument(
                str(raw["name"])[:MAX_NAME], _text(raw.get("description"), MAX_DESCRIPTION), raw.get("required") is True
            )
            for raw in arguments
            if isinstance(raw, Mapping) and raw.get("name")
        )
        if len(read) > MAX_ARGUMENTS:
            continue
        title, description = _text(prompt.get("title"), MAX_NAME), _text(prompt.get("description"), MAX_DESCRIPTION)
        prompts[name] = Prompt(name, title, description, read)
        if len(prompts) == MAX_PROMPTS:
            break
    return prompts


def read_messages(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the messages in the result of getting a prompt: `role` (`user` or `assistant`) and `text`.

    Embedded texts are part of the text. Images and other files are left out, and only named.
    """
    chars_left, messages = MAX_TEXT, list[dict[str, str]]()
    entries = result.get("messages")
    for entry in entries[:MAX_MESSAGES] if isinstance(entries, list) else ():
        message = entry if isinstance(entry, Mapping) else {"content": entry}
        text = "\n".join(map(_text_of, read_blocks(message.get("content"))))
        cut_text = text if len(text) <= chars_left else f"{text[:chars_left]}{CUT}"
        messages.append({"role": str(message.get("role", "user")), "text": cut_text})
        chars_left -= len(text)
        if chars_left < 0:
            break
    return messages


async def prompts_of(link: McpLink) -> dict[str, Prompt]:
    """Return the prompts of a server by name, read again after `FRESH_S`. Raises `ToolError` and `SignedOut`."""
    cached: tuple[float, dict[str, Prompt]] | None = link.offer.cache.get(_KEPT)
    if cached is not None and trio.current_time() < cached[0] + FRESH_S:
        return cached[1]
    prompts: dict[str, Prompt] = {}
    for name, prompt in read_prompts(await link.ask(lambda connection: connection.list_all("prompts"))).items():
        try:
            texts = [(await link.clean(text))[0] for text in _words(prompt)]
        except ValueError:  # a text of the prompt is blocked
            continue
        title, description, *others = texts
        arguments = tuple(
            evolve(argument, description=text) for argument, text in zip(prompt.arguments, others, strict=True)
        )
        prompts[name] = evolve(prompt, title=title, description=description, arguments=arguments)
    link.offer.cache[_KEPT] = trio.current_time(), prompts
    return prompts


async def get_prompt(link: McpLink, name: str, arguments: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the messages of a prompt. Raises `SignedOut`, and `ToolError`, also if the arguments do not fit."""
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
    name = inner.get("uri") or inner.get("mimeType") or block.get("type")
    return f"[{_text(name, MAX_NAME)} is left out.]" if text is None else text
