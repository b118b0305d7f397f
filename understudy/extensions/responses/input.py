"""Reads the inputs of OpenAI's two APIs: the items of Responses, and the messages of chat completions. Pure.

Both are a conversation. The user's messages after the agent's last answer or call are the new message; everything
before them is history. Results of the client's tools at the end continue the run that waits for them, unless a message
follows them, as a picture in a result does: then they are history too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, evolve, field, frozen

from transport.wire.errors import CommandRejected
from understudy.chat.run_settings import MAX_BYTES, MAX_EARLIER
from understudy.extensions.doors.message_content import (
    FILE_ONLY,
    MAX_LEFT_OUT,
    MAX_NAMED,
    OWN_WORK,
    Content,
    JsonObject,
    NewFile,
    first,
)

PARAGRAPH: Final = "\n\n"
RESULT_OF: Final = ("tool_call_id", "tool_name", "name")
"""Fields of a result that name its call, the preferred first; without an id the name of the function stands for it."""


@frozen
class Given:
    """A request's conversation: the new message, or the `outputs` of the client's tools by call id.

    `files` are new files, or ids of uploaded ones. `settled` are the calls whose results came with the new message.
    `left_out` names parts that are unknown to this server, such as those in histories of other makers' models.
    """

    text: str = field(default="", repr=False)
    files: tuple[NewFile | str, ...] = ()
    history: tuple[JsonObject, ...] = field(default=(), repr=False)
    instructions: str | None = field(default=None, repr=False)
    outputs: Mapping[str, str] = field(factory=dict, repr=False)
    settled: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@define
class _Conversation:
    """A conversation while it is read: `history`, the user's `new` messages with their `files`, and the `outputs` of
    tools after the last answer."""

    history: list[dict[str, Any]] = field(factory=list)
    new: list[str] = field(factory=list)
    files: list[NewFile | str] = field(factory=list)
    instructions: list[str] = field(factory=list)
    outputs: dict[str, str] = field(factory=dict)
    left_out: dict[str, None] = field(factory=dict)
    refused: CommandRejected | None = None  # why a file in the new messages cannot be accepted

    def objects(self, name: str, value: object) -> list[tuple[str, JsonObject]]:
        """Return pairs of a place, for error messages, and an object of a list. Raises CommandRejected if it is no
        list."""
        if not isinstance(value, list):
            raise refused(f"{name} must be a list of objects.")
        self.leave_out(*(type(item).__name__ for item in value if not isinstance(item, dict)))
        return [(f"{name}[{number}]", item) for number, item in enumerate(value) if isinstance(item, dict)]

    def leave_out(self, *names: object) -> None:
        """Record the names of unknown parts, cut and printable."""
        self.left_out |= dict.fromkeys(
            "".join(c if c.isprintable() else "?" for c in str(n)[:MAX_NAMED]) for n in names
        )

    def add(self, at: str, role: object, content: object, *calls: JsonObject) -> None:
        """Add a message, with the tool calls in it, to the history or to the new messages, by its role."""
        read = Content.read(f"{at}.content", content)
        self.leave_out(*read.left_out)
        if role in ("system", "developer"):
            self.instructions += [read.text] if read.text else []
        elif role == "user":
            for call_id, result in read.results:
                self.result(at, call_id, result)
            self._ask(read)
        elif role in ("assistant", "model"):
            self.answered(read.text, *calls, *(call for raw in read.calls if (call := self.call(**raw)) is not None))
        else:
            self.leave_out(f"role {role}")

    def _ask(self, read: Content) -> None:
        self.new += [read.text] if read.text else []
        self.files += read.files
        self.refused = self.refused or read.refused

    def answered(self, text: str, *calls: JsonObject) -> None:
        """Add an answer of the agent, or calls; messages of the user before it become history."""
        if self.new or self.files:
            self.history.append({"role": "user", "content": PARAGRAPH.join(self.new) or FILE_ONLY})
            self.new, self.files = [], []
        if self.refused is not None:
            self.leave_out("a file that is elsewhere")
            self.refused = None
        last = self.history[-1] if self.history else {}
        if calls and not text and last.get("role") == "assistant" and not self.outputs:  # parallel calls are one turn
            last["calls"] = [*last.get("calls", ()), *calls]
        elif text or calls:
            self.history.append({"role": "assistant", "content": text, **({"calls": [*calls]} if calls else {})})
        self.outputs = {}

    def call(self, id: object, name: object, arguments: object) -> JsonObject | None:  # noqa: A002 - the field's name
        """Return a call in the form of a history, None without a name. The name stands for a missing id."""
        if not (isinstance(name, str) and name):
            self.leave_out("a call without a name")
            return None
        try:
            decoded = msgspec.json.decode(arguments or "{}") if isinstance(arguments, str | None) else arguments
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            decoded = None
        decoded = decoded if isinstance(decoded, Mapping) else {"arguments": str(arguments)}  # malformed by a model
        return {"id": id if isinstance(id, str) and id else name, "name": name, "arguments": decoded}

    def result(self, at: str, call_id: object, content: object) -> None:
        """Add the result of a call; pictures in it are files of the message that follows."""
        if not isinstance(call_id, str) or not call_id:
            self.leave_out("a result without the id of its call")
            return
        read = Content.of_result(f"{at}.content", content)
        self.leave_out(*read.left_out)
        self.outputs[call_id] = read.text
        self._ask(evolve(read, texts=[]))
        self.history.append({"role": "tool", "call_id": call_id, "content": read.text})

    def given(self, instructions: str | None) -> Given:
        """Return the finished conversation.

        Raises:
            CommandRejected: It does not end in a message of the user (`empty_message`), or a file cannot be accepted.
        """
        wishes = [*([instructions] if instructions else []), *self.instructions]
        if self.outputs and not self.new and not self.files:
            return Given(outputs=self.outputs)
        if self.refused is not None:
            raise self.refused
        named = ", ".join([*self.left_out][:MAX_LEFT_OUT])
        if not self.new and not self.files:
            unknown = f" This was left out, as it is not known: {named}." if named else ""
            raise CommandRejected("empty_message", f"The input does not end in a message of the user.{unknown}")
        history, left_out = _bounded(self.history)
        if left_out:
            wishes.append(f"({left_out:,} earlier messages of this conversation were left out.)")
        if named:
            wishes.append(f"(Left out of this conversation, as this server cannot read it: {named}.)")
        text, settled = PARAGRAPH.join(self.new) or FILE_ONLY, tuple(self.outputs)
        wished = PARAGRAPH.join(wishes) or None
        return Given(text, tuple(self.files), history, wished, settled=settled, left_out=tuple(self.left_out))


def read_items(value: object, instructions: str | None) -> Given:
    """Read the `input` of a response, in which references to earlier items were replaced by the items.

    Raises:
        CommandRejected: It is no input, or its new message has a file that cannot be accepted.
    """
    talk = _Conversation()
    if isinstance(value, str):
        talk.add("input", "user", value)
        return talk.given(instructions)
    for at, item in talk.objects("input", value):
        kind = item.get("type", "message" if "role" in item else None)
        if kind == "message":
            talk.add(at, item.get("role"), item.get("content"))
        elif kind in ("function_call", "custom_tool_call"):
            arguments = item.get("arguments", item.get("input"))
            if (call := talk.call(item.get("call_id"), item.get("name"), arguments)) is not None:
                talk.answered("", call)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            talk.result(at, item.get("call_id"), item.get("output", ""))
        elif kind not in OWN_WORK:
            talk.leave_out(kind)
    return talk.given(instructions)


def read_messages(value: object) -> Given:
    """Read the `messages` of a chat completion.

    Raises:
        CommandRejected: They are no messages, or the new one has a file that cannot be accepted.
    """
    talk = _Conversation()
    for at, message in talk.objects("messages", value):
        role, content = message.get("role"), message.get("content", message.get("parts", ""))
        if role in ("tool", "function"):
            if not isinstance(content, list) or first(message, *RESULT_OF):
                talk.result(at, first(message, *RESULT_OF), content)
                continue
            role = "user"  # the results are parts of the content, which `add` reads from a message of the user
        calls = []
        for _, raw in talk.objects(f"{at}.tool_calls", message.get("tool_calls") or []):
            kinds = "function", "custom"
            tool: JsonObject = next((raw[kind] for kind in kinds if isinstance(raw.get(kind), Mapping)), {})
            calls.append(talk.call(raw.get("id"), tool.get("name"), tool.get("arguments", tool.get("input"))))
        if isinstance(only := message.get("function_call"), Mapping):
            calls.append(talk.call(None, only.get("name"), only.get("arguments")))
        audio = message.get("audio")
        spoken = audio.get("transcript") if isinstance(audio, Mapping) else None
        talk.add(at, role, content or message.get("refusal") or spoken, *(call for call in calls if call is not None))
    return talk.given(None)


def read_tools(value: Any) -> list[dict[str, Any]]:
    """Read the function tools of a request, in the form of either API, as the setting `tools` of a message.

    Raises:
        CommandRejected: `value` is no list, or a tool in it is no function.
    """
    tools = []
    if not isinstance(value or [], list):
        raise refused("tools must be a list of objects.")
    for at, tool in enumerate(value or []):
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise refused(f"tools[{at}] is no function: the other tools are the agent's own, and need not be named.")
        function = tool["function"] if isinstance(tool.get("function"), Mapping) else tool
        names = ("name", "description", "parameters")
        tools.append({name: function[name] for name in names if function.get(name) is not None})
    return tools


def refused(sentence: str) -> CommandRejected:
    """Return the refusal of a request with an invalid field (`invalid_command`)."""
    return CommandRejected("invalid_command", sentence)


def _bounded(history: Sequence[JsonObject]) -> tuple[tuple[JsonObject, ...], int]:
    """Return the newest messages of a history that fit into a message's settings, and how many were left out."""
    room, count = MAX_BYTES["history"] - 2, 0
    for entry in reversed(history[-MAX_EARLIER:]):
        room -= len(msgspec.json.encode(entry)) + 1
        if room < 0:
            break
        count += 1
    return tuple(history[len(history) - count :]), len(history) - count


def check_unsupported(body: JsonObject, names: Sequence[str]) -> None:
    """Refuse a request with fields that agents here cannot respect, instead of ignoring these.

    Raises:
        CommandRejected: One of the fields `names` is set; or a form of text other than plain, or a certain tool, is
            requested.
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
