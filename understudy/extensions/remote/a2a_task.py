"""One A2A task as its events describe it: its state, its answer, its files, and its question. Pure.

1. Each event must name this task; an event of another task is refused.
2. A stream may begin with the whole task again, or with its first event: shown text is not shown twice.
3. Text is shown only while it continues the shown text. A rewritten answer is shown whole at the end.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from understudy.content.texts import is_blank
from understudy.extensions.remote.remote import form_of
from understudy.extensions.remote.wording import ENDLESS, MAX_TEXT, PARAGRAPH, ShownText, block, words_of

Part: TypeAlias = Mapping[str, Any]

PREFIX: Final = "TASK_STATE_"
INPUT_REQUIRED: Final = "INPUT_REQUIRED"
COMPLETED: Final = "COMPLETED"
ENDED: Final = frozenset({COMPLETED, "FAILED", "CANCELED", "REJECTED"})
MAX_ARTIFACTS: Final = 1000
MAX_FILES: Final = 10
MAX_FILE_BYTES: Final = 20 * 1024 * 1024
"""Limit of bytes of all files of a task; a file beyond it is left out."""
MAX_THOUGHT: Final = 1000
"""Limit of characters of a thought, and of a question; longer ones are cut."""
MAX_THOUGHTS: Final = 500
"""Limit of thoughts of a task, each of which is stored; more are dropped."""
MAX_ID: Final = 500
DECISION: Final = form_of("decision", type="string", enum=["allow", "deny"])
ANY_TEXT: Final = form_of("answer", type="string")


class BadTask(Exception):
    """The remote violates the protocol or the bounds; the text is a sentence for the user."""


@frozen
class RemoteFile:
    """A file in an artifact: its content, or the address of the content on the remote's server."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    url: str = ""


@define(eq=False)
class _Artifact:
    """A result of the task, joined from its pieces."""

    text: str = field(default="", repr=False)
    data: list[Any] = field(factory=list, repr=False)
    files: list[RemoteFile] = field(factory=list)


@define(eq=False)
class RemoteTask:
    """One task of a remote. The ids are empty until its first event; `answer` is set by a reply without a task.

    `owns` says whether an address is of the remote's server.
    """

    owns: Callable[[str], bool]
    id: str = ""
    context_id: str = ""
    state: str = ""
    answer: str | None = field(default=None, init=False, repr=False)
    left_out: int = field(default=0, init=False)  # files beyond the bounds
    _message: Sequence[Part] = field(default=(), init=False, repr=False)  # parts of the status's message
    _artifacts: dict[str, _Artifact] = field(factory=dict, init=False, repr=False)
    _thoughts: set[tuple[str, str]] = field(factory=set, init=False, repr=False)
    shown: ShownText = field(factory=ShownText, init=False)

    @property
    def ended(self) -> bool:
        """Whether the task has ended, so that no event follows."""
        return self.state in ENDED or self.answer is not None

    @property
    def rests(self) -> bool:
        """Whether no event follows until a message is sent."""
        return self.ended or self.state in (INPUT_REQUIRED, "AUTH_REQUIRED")

    @property
    def text(self) -> str:
        """The text of all artifacts."""
        return PARAGRAPH.join(artifact.text for artifact in self._artifacts.values() if artifact.text)

    @property
    def files(self) -> list[RemoteFile]:
        """The files of all artifacts."""
        return [file for artifact in self._artifacts.values() for file in artifact.files]

    def identify(self, event: Mapping[str, Any]) -> None:
        """Read the ids of the task from its first response; check them in later ones. Raises BadTask."""
        match event:
            case {"task": {"id": str(name), **about}}:
                pass
            case {"statusUpdate": {"taskId": str(name), **about}} | {"artifactUpdate": {"taskId": str(name), **about}}:
                pass
            case _:
                raise BadTask("The remote agent answered with something that is no A2A.")
        context_id = about.get("contextId")
        if not self.id:
            if not 0 < len(name) <= MAX_ID or len(str(context_id)) > MAX_ID:
                raise BadTask("The remote agent gave a task without a usable id.")
            self.id, self.context_id = name, str(context_id or "")
        elif name != self.id or (context_id and self.context_id and context_id != self.context_id):
            raise BadTask("The remote agent answered for another task.")

    def apply(self, event: Mapping[str, Any]) -> list[str]:
        """Apply a response of the stream, as JSON. Return the new thoughts in it. Raises BadTask."""
        if "message" in event:
            self._add({"parts": event["message"].get("parts", ())}, append=False)
            self.answer = self.text
            return []
        self.identify(event)
        match event:
            case {"task": task}:
                self._artifacts.clear()
                self.left_out = 0
                for artifact in task.get("artifacts", ()):
                    self._add(artifact, append=False)
                return self._set_status(task.get("status", {}))
            case {"statusUpdate": update}:
                return self._set_status(update.get("status", {}))
            case {"artifactUpdate": update}:
                self._add(update.get("artifact", {}), append=bool(update.get("append")))
        return []

    def take_text(self) -> str:
        """Return the text that continues the shown text; it counts as shown."""
        return self.shown.take_more(self.text)

    def take_rest(self) -> str:
        """Return the part of the ended task's answer that is not shown."""
        text = self.text
        return self.shown.take_rest(self._instead() if is_blank(text) else text)

    def sentence(self) -> str:
        """Return the text of the status, or the words in its data, for the user; empty if it has none."""
        return (_text_of(self._message).strip() or words_of([part.get("data") for part in self._message]))[:MAX_THOUGHT]

    def question(self) -> dict[str, Any]:
        """Return the task's question to the user: `title`, `schema`, and the `id` and `kind` for the reply.

        Another understudy sends the schema of the answer as data; any other server asks by text, for text.
        """
        title: list[str] = []
        for part in self._message:
            title += [part["text"]] if isinstance(part.get("text"), str) else []
            match part.get("data"):
                case {"question_id": str(name), "schema": {"type": "object", "properties": Mapping()} as schema}:
                    return _question(title, dict(schema), "question_id", name)
                case {"call_id": str(name), "tool": str()}:
                    return _question(title, DECISION, "call_id", name)
        return _question(title, ANY_TEXT, "text", "")

    def reply_sent(self) -> None:
        """Record that the reply to the task's question was sent, so that it works on."""
        self.state, self._message = "WORKING", ()

    def _set_status(self, status: Mapping[str, Any]) -> list[str]:
        self.state = str(status.get("state", "")).removeprefix(PREFIX)
        message = status.get("message") or {}
        self._message = [part for part in message.get("parts", ()) if isinstance(part, Mapping)]
        thought = (str(status.get("timestamp", "")), self.sentence())
        if self.rests or not thought[1] or thought in self._thoughts or len(self._thoughts) >= MAX_THOUGHTS:
            return []
        self._thoughts.add(thought)
        return [thought[1]]

    def _add(self, artifact_data: Mapping[str, Any], *, append: bool) -> None:
        name, parts = str(artifact_data.get("artifactId", "")), artifact_data.get("parts", ())
        if len(self._artifacts) >= MAX_ARTIFACTS or len(name) > MAX_ID:
            raise BadTask("The remote agent sent too many results.")
        if not append or name not in self._artifacts:
            self._artifacts[name] = _Artifact()
        artifact = self._artifacts[name]
        artifact.text += _text_of([part for part in parts if not self._is_file(part)])
        artifact.data += [part["data"] for part in parts if "data" in part][:MAX_FILES]
        self._keep_files(artifact, parts)
        if len(self.text) > MAX_TEXT:
            raise BadTask(ENDLESS)

    def _keep_files(self, artifact: _Artifact, parts: Sequence[Part]) -> None:
        for part in filter(self._is_file, parts):
            raw, url, kept = part.get("raw", ""), part.get("url", ""), self.files
            if len(kept) >= MAX_FILES or sum(len(file.content) for file in kept) + len(raw) * 3 // 4 > MAX_FILE_BYTES:
                self.left_out += 1
                continue
            try:
                content = base64.b64decode(raw, validate=True)
            except binascii.Error as error:
                raise BadTask("The remote agent sent a malformed file.") from error
            name = str(part.get("filename") or f"file-{len(kept) + 1}").replace("\\", "/").rpartition("/")[2]
            media_type = str(part.get("mediaType") or "application/octet-stream")
            artifact.files.append(RemoteFile(name[:200] or "file", media_type[:100], content, url))

    def _is_file(self, part: Part) -> bool:
        url = part.get("url")
        return isinstance(part.get("raw"), str) or (isinstance(url, str) and self.owns(url))

    def _instead(self) -> str:
        """Return the answer of a task without text in its artifacts: the text of the status, or the data as JSON."""
        values = [value for artifact in self._artifacts.values() for value in artifact.data]
        if (sentence := _text_of(self._message)) or not values:
            return sentence
        return block(values[0] if len(values) == 1 else values)


def _text_of(parts: Sequence[Part]) -> str:
    """Return the texts of parts, and the addresses of files as links."""
    texts = []
    for part in parts:
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(url := part.get("url"), str) and url.startswith(("https://", "http://")):
            texts.append(f"[{part.get('filename') or 'file'}](<{url}>)")
    return "".join(texts)


def _question(title: list[str], schema: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    text = "\n".join(title).strip() or "The remote agent asks"
    return {"title": text[:MAX_THOUGHT], "schema": schema, "kind": kind, "id": name[:MAX_ID]}
