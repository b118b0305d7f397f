"""Read the content of a message, in the forms of OpenAI, Anthropic, Google, Amazon, AG-UI and the AI SDK. Pure.

What is known is read; what is not is named, and the rest is read without it.
"""

import base64
import binascii
import json
import mimetypes
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec
from attrs import define, field, frozen

from transport.wire.codec import plain
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.chat.run_settings import CONTEXT_BYTES
from understudy.storage.records import is_file_id
from understudy.wire.commands import Say
from understudy.wire.vocabulary import parse_command

JsonObject = Mapping[str, Any]

MAX_VALUES: Final = 100_000
"""JSON values in a request, in which clients send the whole history each time. More are refused."""
OPTIONS: Final = ("agent_type", "pillar", "references", "parent_id", "context", "settings")
"""Fields of a message that an application may send beside the client's own, by the names of our own command."""
FILES: Final = "/api/files/"
OWN_WORK: Final = (
    "reasoning", "thinking", "redacted_thinking", "reasoning_content", "step-start", "source-url", "source-document",
)  # fmt: skip
"""Parts in which a model's own work comes back, which the next message does not need."""
KEYED: Final = {"text": str, "json": object, "image": Mapping, "document": Mapping, "video": Mapping}
"""Parts of a tool's result that are named by their key alone, as Bedrock has them."""
CONTENTS: Final = ("url", "image_url", "file_data", "fileUri", "data", "bytes", "value", "image")
"""Fields that hold a file, or its address."""
MAX_PATH: Final = 200
ELSEWHERE: Final = "must hold the file itself, as a data URL or base64, or name one that was uploaded to /api/files."
MAX_NAMED: Final = 40
"""Characters of a name that a client made, where it is shown."""
MAX_LEFT_OUT: Final = 10
"""Types of what was left out that are named."""
LEFT_OUT_BYTES: Final = 1024
"""Room in a message's context for these names."""
FILE_ONLY: Final = "(a file without a text)"
"""The text of a message that has only files."""


@frozen
class NewFile:
    """A file that came within a request."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the content, as uploads are stored."""
        yield self.content


@define
class Content:
    """What the content of a message holds.

    `files` are new ones, or the ids of uploaded ones. `calls`, and `results` by the ids of calls, are those that some
    makers write as parts. `data` are the data parts of the AI SDK by type. `left_out` are the types that are not
    known, `refused` says why a file cannot be taken.
    """

    texts: list[str] = field(factory=list, repr=False)
    files: list[NewFile | str] = field(factory=list)
    calls: list[JsonObject] = field(factory=list, repr=False)
    results: list[tuple[object, object]] = field(factory=list, repr=False)
    data: dict[str, list[Any]] = field(factory=dict, repr=False)
    left_out: list[str] = field(factory=list)
    refused: CommandRejected | None = None

    @property
    def text(self) -> str:
        """The texts as one."""
        return "\n".join(self.texts)

    @classmethod
    def read(cls, at: str, content: object) -> "Content":
        """Return what a content holds, which stands at this place of its request."""
        reading = cls()
        parts = content if isinstance(content, list | tuple) else [] if content is None else [content]
        for number, part in enumerate(parts):
            if isinstance(part, str):
                reading.texts += [part] if part else []
            elif isinstance(part, Mapping):
                reading._add(f"{at}[{number}]", part)
            else:
                reading.left_out.append(type(part).__name__)
        return reading

    @classmethod
    def of_result(cls, at: str, result: object) -> "Content":
        """Return what the result of a call holds: its parts, or as a text the JSON of a value that has none."""
        parts, read = result if isinstance(result, list | tuple) else [result], cls.read(at, result)
        if isinstance(result, str) or (any(map(_is_part, parts)) and (read.texts or read.files or read.refused)):
            return read
        return cls([text_of_data([result])])

    def _add(self, at: str, part: JsonObject) -> None:
        kind, part = _typed(part)
        text = part.get("text")
        if kind in OWN_WORK:
            return
        if kind in ("tool_use", "function_call"):
            arguments = first(part, "input", "args", "arguments")
            self.calls.append({"id": first(part, "id", "toolUseId"), "name": part.get("name"), "arguments": arguments})
        elif kind in ("tool_result", "function_response"):
            call_id = first(part, "tool_use_id", "toolUseId", "id", "name")
            self.results.append((call_id, part.get("content", part.get("response", ""))))
        elif kind == "refusal":
            self.texts.append(str(part.get("refusal") or ""))
        elif isinstance(text := text.get("value") if isinstance(text, Mapping) else text, str):
            self.texts.append(text)
        elif kind == "json":
            self.texts.append(text_of_data([part.get("json")]))
        elif kind.startswith("data-"):
            self.data.setdefault(kind, []).append(part.get("data"))
        else:
            try:
                file = _file(at, kind, part)
            except CommandRejected as error:
                self.refused = self.refused or error
            else:
                self.files += [] if file is None else [file]
                self.left_out += [kind[:MAX_NAMED]] if file is None else []


def text_of_data(data: Sequence[Any]) -> str:
    """Return what stands for the text of a message that has data alone: each value as a line of JSON."""
    return "\n".join(json.dumps(plain(value), ensure_ascii=False) for value in data)


def _is_part(value: object) -> bool:
    """Return whether a value has the form of a part of a tool's result."""
    if not isinstance(value, Mapping):
        return False
    name, inner = next(iter(value.items()), ("", None))
    return isinstance(value.get("type"), str) or (len(value) == 1 and isinstance(inner, KEYED.get(name, ())))


def _typed(part: JsonObject) -> tuple[str, JsonObject]:
    """Return the type of a part, and its fields. Gemini and Bedrock name a part by the key of its fields instead."""
    if "type" in part or isinstance(part.get("text"), str):
        return str(part.get("type")), part
    key = next((name for name, value in part.items() if isinstance(value, Mapping)), next(iter(part), "part"))
    fields = part[key] if isinstance(part.get(key), Mapping) else {}
    return re.sub(r"(?=[A-Z])", "_", key).lower(), {**part, **fields}


def first(fields: JsonObject, *names: str) -> Any:
    """Return the first field of these names that is set."""
    return next((fields[name] for name in names if fields.get(name)), None)


def _file(at: str, kind: str, part: JsonObject) -> NewFile | str | None:
    """Return the file of a part: itself, or the id of an uploaded one; None if the part holds no file.

    Raises:
        CommandRejected: The file is somewhere else: the server would reach into its own network. Or it is not base64.
    """
    about: dict[str, Any] = dict(part)
    for name in ("metadata", "file", kind, "source"):
        about |= within if isinstance(within := about.get(name), Mapping) else {}
    stored, origin = about.get("file_id"), about.get("type") if isinstance(part.get("source"), Mapping) else ""
    value = next((given for name in (*CONTENTS, kind) if isinstance(given := about.get(name), str)), None)
    if origin == "file" and about.get("provider") in (None, "understudy"):
        stored = value or stored
    elif value is not None and (path := urlsplit(value[:MAX_PATH]).path).startswith(FILES):
        stored = path.removeprefix(FILES)
    if isinstance(stored, str) and is_file_id(stored):
        return stored
    if value is None and stored is None:
        return None
    ending = f".{about['format']}" if isinstance(about.get("format"), str) else ""  # of `input_audio`, and of Bedrock
    guessed = (mimetypes.guess_type(f"a{ending}")[0] or f"audio/{ending[1:]}") if ending else ""
    media_type = str(first(about, "media_type", "mediaType", "mimeType", "mime_type") or guessed)
    head, comma, data = (value or "").partition(",")
    whole = comma and head.startswith("data:")  # RFC 2397
    if not whole and (value is None or origin == "file" or (origin != "text" and ":" in value)):
        raise CommandRejected("invalid_command", f"{at} {ELSEWHERE}")
    try:
        if whole:
            media_type, *options = head.removeprefix("data:").split(";")
            content = base64.b64decode(data, validate=True) if "base64" in options else unquote_to_bytes(data)
        else:
            content = str(value).encode() if origin == "text" else base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise CommandRejected("invalid_command", f"{at} is not valid base64.") from None
    media_type = media_type.partition(";")[0].strip() or "application/octet-stream"
    given = next((text for name in ("filename", "name", "title") if isinstance(text := about.get(name), str)), "")
    plain = kind.removeprefix("input_").removesuffix("_url")
    return NewFile(
        given.strip() or f"{plain}{ending or mimetypes.guess_extension(media_type) or ''}", media_type, content
    )


def read_message(
    at: str, content: object, fields: Mapping[str, Any], agent: str | None, agents: Mapping[str, Agent]
) -> tuple[Say, tuple[NewFile, ...]]:
    """Return the message with this content and these fields, and the new files in it.

    `agent` is the one that the address names, if any, of these `agents`. The `context` of the message has the data
    parts, by their types, as a list if a type has several, and names what was left out. They are its text without one.

    Raises:
        CommandRejected: A file cannot be taken, or a field is wrong.
    """
    read = Content.read(at, content)
    if read.refused is not None:
        raise read.refused
    values = [datum for several in read.data.values() for datum in several]
    text = read.text if read.text.strip() else FILE_ONLY if read.files else text_of_data(values)
    fields = {**fields, "content": text}
    if agent is not None:
        chosen = agents.get(agent)
        fields |= {"agent_type": agent, "pillar": None}
        fields |= {} if chosen is None else {"agent_type": chosen.agent_type, "pillar": chosen.pillar}
    ids, named = [file for file in read.files if isinstance(file, str)], fields.get("references", [])
    if ids and isinstance(named, list):
        fields["references"] = [*named, *ids]
    context = fields.get("context")
    if (read.data or read.left_out) and isinstance(context, dict | None):
        context = dict(context or {})
        for name, several in read.data.items():
            value = several if len(several) > 1 else several[0]
            size = len(msgspec.json.encode({**context, name: value}))
            if size <= CONTEXT_BYTES - LEFT_OUT_BYTES:
                context[name] = value
            else:
                read.left_out.append(name[:MAX_NAMED])
        left_out = read.left_out[:MAX_LEFT_OUT]
        fields["context"] = context | ({"left_out": left_out} if left_out else {})
    if read.left_out and not fields["content"].strip():
        named = ", ".join(read.left_out[:MAX_LEFT_OUT])
        raise CommandRejected("empty_message", f"The message has no text, and this was left out of it: {named}.")
    return parse_say(fields), tuple(file for file in read.files if isinstance(file, NewFile))


def parse_say(fields: Mapping[str, Any]) -> Say:
    """Return the message with these fields. Raises CommandRejected: one is wrong."""
    command = parse_command({"type": "user_message", "payload": fields})
    assert isinstance(command, Say)  # noqa: S101 - for the type checker: that is its type
    return command
