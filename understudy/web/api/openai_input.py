"""Read the inputs of OpenAI's two APIs: the items of Responses, and the messages of chat completions. Pure.

Both are a conversation. What follows the agent's last answer or call is the new message of the user; what comes before
is history. Results of the client's tools at the end, without a message after them, continue the run that waits for
them; with one, as a picture comes, they are history too.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from attrs import define, field, frozen

from transport.wire.errors import CommandRejected
from understudy.chat.run_settings import MAX_BYTES, MAX_EARLIER

JsonObject = Mapping[str, Any]

TEXTS: Final = ("input_text", "output_text", "text", "summary_text")
SKIPPED: Final = ("reasoning", "mcp_call", "mcp_list_tools", "custom_tool_call")
"""Items of the agent's own work, which clients send back: the server has them, or the next message says enough."""
PARAGRAPH: Final = "\n\n"
FILES_ONLY: Final = "Look at the attached file."
"""The message of a user who sends only files."""


@frozen
class NewFile:
    """A file that came within a request."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@frozen
class Given:
    """A request's conversation: the new message, or the `outputs` of the client's tools by call id.

    `files` are new ones, or the ids of uploaded ones. `settled` are the calls whose results came with the new message:
    a run that waits for these is not gone on with.
    """

    text: str = field(default="", repr=False)
    files: tuple[NewFile | str, ...] = ()
    history: tuple[JsonObject, ...] = field(default=(), repr=False)
    instructions: str | None = field(default=None, repr=False)
    outputs: Mapping[str, str] = field(factory=dict, repr=False)
    settled: tuple[str, ...] = ()


@define
class _Conversation:
    """The messages before the newest ones of the user, the newest ones, and results behind the last answer."""

    history: list[dict[str, Any]] = field(factory=list)
    new: list[str] = field(factory=list)
    files: list[NewFile | str] = field(factory=list)
    instructions: list[str] = field(factory=list)
    outputs: dict[str, str] = field(factory=dict)

    def add(self, at: str, role: object, content: object) -> None:
        """Add a message."""
        if role in ("system", "developer"):
            self.instructions += [text] if (text := _parts(at, content)[0]) else []
        elif role == "user":
            text, files = _parts(at, content)
            self.new += [text] if text else []
            self.files += files
        elif role == "assistant":
            self.answered(_parts(at, content)[0])
        else:
            raise refused(f"{at}.role must be user, assistant, system, developer or tool.")

    def answered(self, text: str, *calls: JsonObject) -> None:
        """Add an answer of the agent, or calls: what came before is not new any more."""
        if self.new or self.files:
            self.history.append({"role": "user", "content": PARAGRAPH.join(self.new) or FILES_ONLY})
            self.new, self.files = [], []
        last = self.history[-1] if self.history else {}
        if calls and not text and last.get("role") == "assistant" and not self.outputs:  # parallel calls are one turn
            last["calls"] = [*last.get("calls", ()), *calls]
        elif text or calls:
            self.history.append({"role": "assistant", "content": text, **({"calls": [*calls]} if calls else {})})
        self.outputs = {}

    def result(self, at: str, call_id: str, content: object) -> None:
        """Add the result of a call; pictures in it are files of the message that follows."""
        text, files = _parts(at, content)
        self.outputs[call_id] = text
        self.files += files
        self.history.append({"role": "tool", "call_id": call_id, "content": text})

    def given(self, instructions: str | None) -> Given:
        """Return what the conversation asks for.

        Raises:
            CommandRejected: `empty_message`: it does not end in a message of the user.
        """
        wishes = [*([instructions] if instructions else []), *self.instructions]
        if self.outputs and not self.new and not self.files:
            return Given(outputs=self.outputs)
        if not self.new and not self.files:
            raise CommandRejected("empty_message", "The input does not end in a message of the user.")
        history, left_out = _bounded(self.history)
        if left_out:
            wishes.append(f"({left_out:,} earlier messages of this conversation were left out.)")
        text, settled = PARAGRAPH.join(self.new) or FILES_ONLY, tuple(self.outputs)
        return Given(text, tuple(self.files), history, PARAGRAPH.join(wishes) or None, settled=settled)


def read_items(value: object, instructions: str | None) -> Given:
    """Read the `input` of a response. References to earlier items were replaced by these before.

    Raises:
        CommandRejected: It is no input, or has a part that cannot be taken; the sentence names the place.
    """
    talk = _Conversation()
    if isinstance(value, str):
        talk.add("input", "user", value)
        return talk.given(instructions)
    for at, item in _objects("input", value):
        kind = item.get("type", "message" if "role" in item else None)
        if kind == "message":
            talk.add(at, item.get("role"), item.get("content"))
        elif kind == "function_call":
            talk.answered("", _call(at, item.get("call_id"), item.get("name"), item.get("arguments")))
        elif kind == "function_call_output":
            talk.result(at, _text(f"{at}.call_id", item.get("call_id")), item.get("output"))
        elif kind not in SKIPPED:
            raise refused(f"{at} has a type that this server does not take: {str(kind)[:40]}.")
    return talk.given(instructions)


def read_messages(value: object) -> Given:
    """Read the `messages` of a chat completion.

    Raises:
        CommandRejected: They are no messages, or have a part that cannot be taken; the sentence names the place.
    """
    talk = _Conversation()
    for at, message in _objects("messages", value):
        role, content = message.get("role"), message.get("content")
        if role in ("tool", "function"):
            name = "tool_call_id" if role == "tool" else "name"  # a function of the API's first form has no other id
            talk.result(at, _text(f"{at}.{name}", message.get(name)), content)
        elif role == "assistant":
            calls = []
            for where, each in _objects(f"{at}.tool_calls", message.get("tool_calls") or []):
                about = each["function"] if isinstance(each.get("function"), Mapping) else {}
                calls.append(_call(where, each.get("id"), about.get("name"), about.get("arguments")))
            if isinstance(about := message.get("function_call"), Mapping):
                calls.append(_call(at, about.get("name"), about.get("name"), about.get("arguments")))
            talk.answered(_parts(at, content)[0], *calls)
        else:
            talk.add(at, role, content)
    return talk.given(None)


def _call(at: str, call_id: object, name: object, arguments: object) -> JsonObject:
    try:
        read = msgspec.json.decode(arguments or "{}") if isinstance(arguments, str | None) else arguments
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        read = None
    read = read if isinstance(read, Mapping) else {"arguments": str(arguments)}  # as a model wrote it
    return {"id": _text(f"{at}.id", call_id), "name": _text(f"{at}.name", name), "arguments": read}


def read_tools(value: object) -> list[dict[str, Any]]:
    """Read the function tools of a request, in the form of either API, as the setting `tools` of a message.

    Raises:
        CommandRejected: A tool is no function.
    """
    tools = []
    for at, each in _objects("tools", value or []):
        if each.get("type") != "function":
            raise refused(f"{at} is no function: the other tools are the agent's own, and need not be named.")
        about = each["function"] if isinstance(each.get("function"), Mapping) else each
        names = ("name", "description", "parameters")
        tools.append({name: about[name] for name in names if about.get(name) is not None})
    return tools


def refused(sentence: str) -> CommandRejected:
    """Return the refusal of a request for something that it holds."""
    return CommandRejected("invalid_command", sentence)


def _bounded(history: Sequence[JsonObject]) -> tuple[tuple[JsonObject, ...], int]:
    """Return the newest messages of a history that a message may have along, and how many were left out."""
    room, kept = MAX_BYTES["history"] - 2, 0
    for each in reversed(history[-MAX_EARLIER:]):
        room -= len(msgspec.json.encode(each)) + 1
        if room < 0:
            break
        kept += 1
    return tuple(history[len(history) - kept :]), len(history) - kept


def _objects(name: str, value: object) -> list[tuple[str, JsonObject]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise refused(f"{name} must be a list of objects.")
    return [(f"{name}[{number}]", each) for number, each in enumerate(value)]


def _text(at: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise refused(f"{at} must be a text.")
    return value


def _parts(at: str, content: object) -> tuple[str, list[NewFile | str]]:
    """Return the text and the files of a message's content."""
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    files: list[NewFile | str] = []
    for where, part in _objects(f"{at}.content", content):
        kind = part.get("type")
        if kind in TEXTS:
            texts.append(_text(f"{where}.text", part.get("text") or "\n"))
        elif kind == "refusal":
            texts.append(str(part.get("refusal") or ""))
        elif kind in _FILES:
            files.append(_FILES[kind](where, part))
        else:
            raise refused(f"{where} has a type that this server does not take: {str(kind)[:40]}.")
    return "\n".join(texts), files


def _input_image(at: str, part: JsonObject) -> NewFile | str:
    given = part.get("image_url")
    if part.get("file_id") is not None and given is None:
        return _text(f"{at}.file_id", part["file_id"])
    return _data_url(at, given.get("url") if isinstance(given, Mapping) else given, "image")


def _input_file(at: str, part: JsonObject) -> NewFile | str:
    about = part["file"] if isinstance(part.get("file"), Mapping) else part
    if about.get("file_id") is not None:
        return _text(f"{at}.file_id", about["file_id"])
    return _data_url(at, about.get("file_data"), str(about.get("filename") or "file"))


_FILES: Final[Mapping[object, Callable[[str, JsonObject], NewFile | str]]] = {
    "input_image": _input_image,
    "image_url": _input_image,
    "input_file": _input_file,
    "file": _input_file,
}


def _data_url(at: str, value: object, name: str) -> NewFile:
    """Return the file in a data URL. No other address is fetched: the server would reach into its own network."""
    head, comma, data = value.partition(",") if isinstance(value, str) else ("", "", "")
    if not comma or not head.startswith("data:"):
        raise refused(f"{at} must hold the file itself, as a data URL, or the id of an uploaded file.")
    media_type, *options = head.removeprefix("data:").split(";")
    try:
        coded = "base64" in options
        content = base64.b64decode(data, validate=True) if coded else unquote_to_bytes(data)
    except (binascii.Error, ValueError):
        raise refused(f"{at} is not valid base64.") from None
    media_type = media_type or "application/octet-stream"
    ending = media_type.partition("/")[2].partition("+")[0]
    return NewFile(name if "." in name else f"{name}.{ending}", media_type, content)


def check_unsupported(body: JsonObject, names: Sequence[str]) -> None:
    """Refuse a request for what no agent does here, instead of answering something else.

    Raises:
        CommandRejected: One of the fields `names` is set; or another form of text than plain is wanted.
    """
    for name in names:
        if body.get(name) not in (None, False, [], {}, ""):
            raise refused(f"`{name}` is not known to this server.")
    text = body.get("text")
    form = body.get("response_format") or (text.get("format") if isinstance(text, Mapping) else None)
    if form is not None and (not isinstance(form, Mapping) or form.get("type", "text") != "text"):
        raise refused("The form of the answer is the agent's own: only the format `text` can be asked for.")
    choice = body.get("tool_choice", "auto")
    if choice not in (None, "auto", "none"):
        raise refused("The agent chooses its tools: `tool_choice` can be `auto` or `none`.")
