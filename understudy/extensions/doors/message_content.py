"""Reads the content of a message in the forms of OpenAI, Anthropic, Google, Amazon, AG-UI and the AI SDK. Pure.

A part of an unknown type is left out, and its type is named in the message's context; the other parts are read.
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
"""Limit of JSON values in a request, because clients send the whole history each time. More are refused."""
OPTIONS: Final = ("agent_type", "pillar", "references", "parent_id", "context", "settings")
"""Fields of the command `user_message` that an application may send beside the fields of the other protocol."""
FILES: Final = "/api/files/"
OWN_WORK: Final = (
    "reasoning", "thinking", "redacted_thinking", "reasoning_content", "step-start", "source-url", "source-document",
)  # fmt: skip
"""Types of parts with a model's own earlier work, which are ignored."""
KEYED: Final = {"text": str, "json": object, "image": Mapping, "document": Mapping, "video": Mapping}
"""Bedrock's parts of a tool's result, which have no `type`: the type of the value by the part's only key."""
CONTENTS: Final = ("url", "image_url", "file_data", "fileUri", "data", "bytes", "value", "image")
"""Fields of a part that hold the content of a file, or its URL."""
MAX_PATH: Final = 200
ELSEWHERE: Final = "must hold the file itself, as a data URL or base64, or name one that was uploaded to /api/files."
MAX_NAMED: Final = 40
"""Characters that are shown of a type's name, because a client chooses it."""
MAX_LEFT_OUT: Final = 10
"""Limit of the types of left-out parts that are named."""
LEFT_OUT_BYTES: Final = 1024
"""Bytes of a message's context that are reserved for these names."""
FILE_ONLY: Final = "(a file without a text)"
"""The text of a message that has only files."""


@frozen
class NewFile:
    """A file whose content is in a request."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the content in one chunk, in the form that uploads are stored from."""
        yield self.content


@define
class Content:
    """The parts of a message's content, sorted by kind.

    `files` are new files, or the ids of uploaded ones. `calls`, and `results` as pairs of call id and content, are
    those that some protocols write as parts. `data` are the values of the AI SDK's data parts by type. `left_out` are
    the unknown types; `refused` is the error of the first file that cannot be accepted, or None.
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
        """The texts, a line each."""
        return "\n".join(self.texts)

    @classmethod
    def read(cls, at: str, content: object) -> "Content":
        """Read a content. `at` is its place in the request, for errors about its files."""
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
        """Read the result of a call: its parts, or, if it has none, its JSON as a text."""
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
    """Return the text of a message that has only data: each value as a line of JSON."""
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
    """Return the first of these fields that is not empty, or None."""
    return next((fields[name] for name in names if fields.get(name)), None)


def _file(at: str, kind: str, part: JsonObject) -> NewFile | str | None:
    """Return the new file in a part, or the id of an uploaded one; None if the part holds no file.

    Raises:
        CommandRejected: The file is at another URL, which is not fetched, because it could be in the server's own
            network; or it is not valid base64.
    """
    fields: dict[str, Any] = dict(part)
    for key in ("metadata", "file", kind, "source"):
        fields |= inner if isinstance(inner := fields.get(key), Mapping) else {}
    file_id, origin = fields.get("file_id"), fields.get("type") if isinstance(part.get("source"), Mapping) else ""
    value = next((text for key in (*CONTENTS, kind) if isinstance(text := fields.get(key), str)), None)
    if origin == "file" and fields.get("provider") in (None, "understudy"):
        file_id = value or file_id
    elif value is not None and (path := urlsplit(value[:MAX_PATH]).path).startswith(FILES):
        file_id = path.removeprefix(FILES)
    if isinstance(file_id, str) and is_file_id(file_id):
        return file_id
    if value is None and file_id is None:
        return None
    ending = f".{fields['format']}" if isinstance(fields.get("format"), str) else ""  # of `input_audio`, and of Bedrock
    guessed = (mimetypes.guess_type(f"a{ending}")[0] or f"audio/{ending[1:]}") if ending else ""
    media_type = str(first(fields, "media_type", "mediaType", "mimeType", "mime_type") or guessed)
    head, comma, data = (value or "").partition(",")
    is_data_url = comma and head.startswith("data:")  # RFC 2397
    if not is_data_url and (value is None or origin == "file" or (origin != "text" and ":" in value)):
        raise CommandRejected("invalid_command", f"{at} {ELSEWHERE}")
    try:
        if is_data_url:
            media_type, *options = head.removeprefix("data:").split(";")
            content = base64.b64decode(data, validate=True) if "base64" in options else unquote_to_bytes(data)
        else:
            content = str(value).encode() if origin == "text" else base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise CommandRejected("invalid_command", f"{at} is not valid base64.") from None
    media_type = media_type.partition(";")[0].strip() or "application/octet-stream"
    name = next((text for key in ("filename", "name", "title") if isinstance(text := fields.get(key), str)), "")
    type_name = kind.removeprefix("input_").removesuffix("_url")
    return NewFile(
        name.strip() or f"{type_name}{ending or mimetypes.guess_extension(media_type) or ''}", media_type, content
    )


def read_message(
    at: str, content: object, fields: Mapping[str, Any], agent: str | None, agents: Mapping[str, Agent]
) -> tuple[Say, tuple[NewFile, ...]]:
    """Return the message with this content and these fields of a `user_message`, and the new files in it.

    `agent` is the name of an agent in the URL, or None. The message's `context` gets the data parts by type (a list if
    a type has several) and the types that were left out. Without a text, the data parts are the text too.

    Raises:
        CommandRejected: A file cannot be accepted, a field is wrong, or nothing of the message could be read.
    """
    parsed = Content.read(at, content)
    if parsed.refused is not None:
        raise parsed.refused
    values = [datum for same_type in parsed.data.values() for datum in same_type]
    text = parsed.text if parsed.text.strip() else FILE_ONLY if parsed.files else text_of_data(values)
    fields = {**fields, "content": text}
    if agent is not None:
        known_agent = agents.get(agent)
        fields |= {"agent_type": agent, "pillar": None}
        fields |= {} if known_agent is None else {"agent_type": known_agent.agent_type, "pillar": known_agent.pillar}
    ids, references = [file for file in parsed.files if isinstance(file, str)], fields.get("references", [])
    if ids and isinstance(references, list):
        fields["references"] = [*references, *ids]
    context = fields.get("context")
    if (parsed.data or parsed.left_out) and isinstance(context, dict | None):
        context = dict(context or {})
        for name, same_type in parsed.data.items():
            value = same_type if len(same_type) > 1 else same_type[0]
            size = len(msgspec.json.encode({**context, name: value}))
            if size <= CONTEXT_BYTES - LEFT_OUT_BYTES:
                context[name] = value
            else:
                parsed.left_out.append(name[:MAX_NAMED])
        left_out = parsed.left_out[:MAX_LEFT_OUT]
        fields["context"] = context | ({"left_out": left_out} if left_out else {})
    if parsed.left_out and not fields["content"].strip():
        types = ", ".join(parsed.left_out[:MAX_LEFT_OUT])
        raise CommandRejected("empty_message", f"The message has no text, and this was left out of it: {types}.")
    return parse_say(fields), tuple(file for file in parsed.files if isinstance(file, NewFile))


def parse_say(fields: Mapping[str, Any]) -> Say:
    """Return the `user_message` with these fields. Raises CommandRejected if a field is wrong."""
    command = parse_command({"type": "user_message", "payload": fields})
    assert isinstance(command, Say)  # noqa: S101 - for the type checker: a user_message is a Say
    return command
