"""The user's request, parsed once: instruction, clauses, body, files, results; and the source of a tool's arguments."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from attrs import define, evolve, field, frozen

from understudy.models.items import newest_request
from understudy.models.model import CallItem, FileCard, Item, MessageItem, ResultItem, Turn, unfenced
from understudy.models.offline import scan
from understudy.models.offline.arithmetic import LISTED, with_entries
from understudy.models.offline.roles import Roles, find_roles

_T = TypeVar("_T")

# Characters of a line before a colon that may still be the instruction for the text after it.
_MAX_LEAD: Final = 240
MAX_FILES: Final = 20
"""Files of earlier messages that a request without files may mean."""
MAX_EARLIER: Final = 10
"""Results of earlier messages that a message may continue; each is decoded on the event loop."""
# The value of an argument that the request does not give.
MISSING: Final = object()

MAX_WORDS: Final = 14
"""Words of a message that may mean something said before by a word such as "that"; a longer one says it itself."""
_ELLIPTIC: Final = re.compile(
    r"\s*(?:and|but|or|so|now|then|only|just|same|instead|what about|how about|what if|what happens if|except)\b",
    re.IGNORECASE,
)
_BACK: Final = frozenset({"that", "this", "it", "those", "these", "them", "instead", "same", "again"})
_TABLES: Final = (".csv", ".tsv", ".tab", ".psv", ".json", ".jsonl", ".ndjson", ".parquet")
_COLON: Final = re.compile(r":(?!\S)")  # unlike one in a time or an address
_SENTENCE: Final = re.compile(r"[.!?]\s+")
REQUESTING: Final = frozenset(
    "what which how who where when why is are does do did show list compare find give tell draw explain".split()  # noqa: SIM905 (words read better as words)
)
_BEGINNING: Final = REQUESTING | frozenset(
    "add analyse analyze anonymise anonymize calculate can chart check clean compute correct could count "  # noqa: SIM905
    "describe extract fix help make outline please plot profile redact remember remove repeat rewrite sanitise "
    "sanitize save say shorten should sum summarise summarize translate was were will work would write".split()
)
"""Words that a line with a request begins with."""
_POINTING: Final = frozenset({"this", "that", "these", "those", "them", "it", "above", "text", "two", "both"})
GREETINGS: Final = frozenset({"hello", "hi", "hey", "hallo", "moin", "greetings", "morning", "evening", "afternoon"})
_GREETING: Final = GREETINGS | {"good", "there"}
_SPLIT: Final = re.compile(r",?\s(?:and then|and also|and|then|also)\s|[;\n]\s?|[.?!]\s|,\sthen\s")


@frozen
class Result:
    """The outcome of one tool call of this run. `value` is the JSON value, or the text if the content is not JSON."""

    tool: str
    status: str
    summary: str
    value: Any = field(repr=False)
    arguments: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status == "ok"


@frozen
class Request:
    """`text` is the user's whole message, `instruction` the part with the task, `body` the text it applies to.

    `files` are those of the message, which then has some `attached`, or those of earlier ones. `results` are those of
    this run, `earlier` those of earlier messages. If the instruction cannot be separated from the body, both are the
    whole message.
    """

    text: str = field(repr=False)
    instruction: str = field(repr=False)
    body: str = field(repr=False)
    files: tuple[FileCard, ...] = ()
    results: tuple[Result, ...] = ()
    attached: bool = False
    earlier: tuple[Result, ...] = field(default=(), repr=False)
    _seen: dict[Any, Any] = field(init=False, factory=dict, eq=False, repr=False)

    def look(self, find: Callable[..., _T], text: str, *more: Any) -> _T:
        """Return the result of `find` for a part of this request, cached because many tools need the same."""
        key = (find, text, more)
        if key not in self._seen:
            self._seen[key] = find(text, *more)
        found: _T = self._seen[key]
        return found

    @property
    def clauses(self) -> tuple[str, ...]:
        """The instruction's parts, split at "and", "then" and ends of sentences."""
        if self.look(scan.sql, self.instruction) or self.look(scan.plans, self.instruction):
            return (self.instruction,)
        hidden = LISTED.sub(lambda match: "x" * len(match[0]), _hide_quotations(self.instruction))
        parts, start = [], 0
        for match in _SPLIT.finditer(hidden):
            parts.append(self.instruction[start : match.start()])
            start = match.end()
        parts.append(self.instruction[start:])
        return tuple(each.strip() for each in parts if each.strip())

    @property
    def is_elliptic(self) -> bool:
        """Whether the message leaves out what it is about, and continues what was said before: "and by product?"."""
        tokens = scan.words(self.text[:500])
        begins = _ELLIPTIC.match(self.text) is not None or len(tokens) <= 2
        return bool(self.earlier) and not self.attached and 0 < len(tokens) <= MAX_WORDS and begins

    @property
    def refers_back(self) -> bool:
        """Whether the message refers to what was said before: "chart that by month"."""
        tokens = scan.words(self.text[:500])
        points = bool(_BACK & set(tokens)) and not self.has_body and len(tokens) <= MAX_WORDS
        return self.is_elliptic or (bool(self.earlier) and not self.attached and points)

    @property
    def earlier_text(self) -> str | None:
        """The text that the latest call about a text had."""
        for result in reversed(self.earlier):
            for name in ("text", "content", "document"):
                if isinstance(text := result.arguments.get(name), str) and text.strip():
                    return text
        return None

    @property
    def has_body(self) -> bool:
        """Whether there is a text beside the instruction."""
        return self.body != self.text.strip()

    @property
    def has_text(self) -> bool:
        """Whether the message brings a text to work on, or means that of an earlier call: "what dates are in it?"."""
        return self.has_body or (self.refers_back and self.earlier_text is not None)

    @property
    def asks_last(self) -> bool:
        """Whether the instruction stands at the end of the message."""
        return self.has_body and self.text.rstrip().endswith(self.instruction)

    @property
    def material(self) -> str:
        """The message without an instruction at its end."""
        return self.body if self.asks_last else self.text

    def whole(self) -> "Request | None":
        """Return the request with all of a short message as its instruction, if that stands at the end and points to
        what is said before; None for any other: “my server is slow, can you check it?”."""
        short = len(self.text) <= 2 * _MAX_LEAD and not scan.has_table(self.text)
        if not (self.asks_last and short and _POINTING & set(scan.words(self.instruction))):
            return None
        return evolve(self, instruction=self.near, body=self.text.strip())

    @property
    def near(self) -> str:
        """The beginning and the end of the whole message."""
        return scan.window(self.text)

    def narrowed(self, text: str) -> "Request":
        """Return the request with this part of its text alone."""
        instruction, body = _divided(text)
        return evolve(self, text=text, instruction=instruction, body=body)

    def with_columns(self) -> "Request":
        """Return the request with the columns that tools of this run found in files of unknown columns."""
        files = []
        for each in self.files:
            found = [r for r in self.results if r.ok and each.id in map(str, r.arguments.values())]
            columns = next((c for c in map(_columns, found) if c), None) if each.columns is None else None
            files.append(evolve(each, columns=columns) if columns else each)
        return evolve(self, files=tuple(files))


def read_request(turn: Turn) -> Request:
    """Return the last message of the user and the tool results after it."""
    text = turn.request
    instruction, body = _divided(text)
    files = turn.files or _earlier_files(turn.items)
    before = turn.items[: max(0, newest_request(turn.items))]
    calls = [each for each in before if isinstance(each, CallItem)]
    results = [each for each in before if isinstance(each, ResultItem)][-MAX_EARLIER:]
    earlier = tuple(results_of([*calls, *results]))
    return Request(text, instruction, body, files, tuple(results_of(turn.work)), bool(turn.files), earlier)


def _earlier_files(items: Sequence[Item]) -> tuple[FileCard, ...]:
    """Return the files of the conversation, the latest last, for a message without files of its own."""
    found: dict[str, FileCard] = {}
    for item in items:
        for card in item.files if isinstance(item, MessageItem) else ():
            found.pop(card.id, None)
            found[card.id] = card
    return tuple(found.values())[-MAX_FILES:]


def _divided(text: str) -> tuple[str, str]:
    """Split into instruction and body. Numbers to sum up are part of the instruction."""
    instruction, body = _parts(text)
    entries = with_entries(instruction, body) if body != text.strip() else None
    return (instruction, body) if entries is None else (entries, text.strip())


def _parts(text: str) -> tuple[str, str]:
    """Split into instruction and body: the body follows a colon or a line break after a short beginning, or stands
    before a short end that asks for something.

    Lines that all ask are one instruction. A greeting in a line of its own is no part of it.
    """
    text = whole = text.strip()
    greeting, _, rest = text[:_MAX_LEAD].partition("\n")
    if rest and scan.words(greeting) and set(scan.words(greeting)) <= _GREETING:
        text = text[len(greeting) :].strip()
    hidden = _hide_quotations(text[: _MAX_LEAD + 1])
    colon = _COLON.search(hidden)
    places = [each for each in (-1 if colon is None else colon.start(), hidden.find("\n")) if each > 0]
    end = min(places, default=len(text))
    first, body, lines = text[:end].strip(), text[end + 1 :].strip(), text[:_MAX_LEAD].splitlines()
    if (last := _last_part(text)) and _is_instruction(last, first, introduced=text[end : end + 1] == ":"):
        return last, text[: -len(last)].strip()
    one = len(text) <= _MAX_LEAD and text[end : end + 1] == "\n" and all(not each or _asks(each) for each in lines)
    if not body or (one and not _POINTING & set(scan.words(text))):
        return scan.window(text), whole
    return first, body


def _last_part(text: str) -> str:
    """Return the last line, or the last sentence of a text with one line; empty if it is long, or the whole text."""
    end = text[-_MAX_LEAD:]
    if "\n" in end:
        return end.rpartition("\n")[2].strip()
    last = _SENTENCE.split(end)[-1].strip() if "\n" not in text else ""
    return last if len(last) < len(end) and _POINTING & set(scan.words(last)) else ""


def _asks(line: str) -> bool:
    """Whether a line is a question, or begins as a request does."""
    return line.rstrip().endswith("?") or bool(_BEGINNING & set(scan.words(line[:_MAX_LEAD])[:1]))


def _is_instruction(last: str, first: str, *, introduced: bool) -> bool:
    """Whether the last part of a message is its instruction rather than the first, which a colon may follow."""
    if not _asks(last):
        return False
    begins = _SENTENCE.split(first[:_MAX_LEAD])[0]
    points, back = (bool(_POINTING & set(scan.words(each))) for each in (begins, last))
    if "above" in scan.words(last) or not _asks(first):
        return True
    return back and not points and not introduced


def _hide_quotations(text: str) -> str:
    for each in scan.quoted(text):
        text = text.replace(each, "x" * len(each), 1)
    return text


def results_of(items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results among these items, each with the arguments of its call."""
    asked = {each.id: each.arguments for each in items if isinstance(each, CallItem)}
    for each in items:
        if isinstance(each, ResultItem):
            value, summary = _content(each.content)
            arguments = asked.get(each.call_id)
            arguments = arguments if isinstance(arguments, dict) else {}  # a model may have asked with any JSON
            yield Result(each.name or "tool", each.status or "ok", summary, value, arguments)


def _content(content: str) -> tuple[Any, str]:
    """Return value and summary of a tool message; any text not written by `tool_result` is its own value."""
    try:
        body = msgspec.json.decode(unfenced(content))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return content, ""
    if isinstance(body, dict) and "summary" in body and "value" in body:
        return body["value"], str(body["summary"])
    if isinstance(body, dict) and "error" in body:
        return None, str(body["error"])
    return body, ""


def _columns(result: Result) -> tuple[str, ...] | None:
    """Return the column names in a result, if it has any: ``columns`` as names or as objects with a name."""
    listed = result.value.get("columns") if isinstance(result.value, dict) else None
    if not isinstance(listed, list):
        return None
    names = [each.get("name") if isinstance(each, dict) else each for each in listed]
    return tuple(each for each in names if isinstance(each, str)) or None


@define
class Source:
    """The source of a tool's arguments: the clause that asks for it, the request around it, and the values used."""

    clause: str
    request: Request
    used: set[str] = field(factory=set)
    alone: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to search, nearest first; if the clause stands `alone`, only the clause."""
        return (
            (self.clause,)
            if self.alone
            else tuple(dict.fromkeys((self.clause, self.request.instruction, self.request.near)))
        )

    def first(self, *finds: Callable[[str], Sequence[str]]) -> Any:
        """Return the first value found, by the first of `finds` first, that no other parameter has taken."""
        for find in finds:
            for text in self.texts:
                for each in self.request.look(find, text):
                    if each not in self.used:
                        self.used.add(each)
                        return each
        return MISSING

    @property
    def tables(self) -> list[FileCard]:
        """The attached tables."""
        return [each for each in self.request.files if is_table(each)]

    def table(self) -> FileCard | None:
        """Return the attached table that the request names, else the one most of whose columns it mentions, the latest
        of equals."""
        return self._best_table(self.tables)

    def next_table(self) -> FileCard | None:
        """Return the best table that no other parameter has taken."""
        return self._best_table([each for each in self.tables if each.id not in self.used])

    def _best_table(self, tables: list[FileCard]) -> FileCard | None:
        if len(tables) < 2:
            return tables[0] if tables else None

        def mentioned(card: FileCard) -> int:
            return len(self.request.look(find_roles, self.request.near, card.columns or ()).mentioned)

        most = max(map(mentioned, tables))
        return named_file([each for each in tables if mentioned(each) == most], self.request.near, tables)

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of all tables, each name once."""
        return tuple(dict.fromkeys(name for each in self.tables for name in each.columns or ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of that table; empty if they are unknown."""
        table = self.table()
        return () if table is None or table.columns is None else table.columns

    def roles(self) -> Roles:
        """Return the columns that the clause mentions; if none, those of the whole request."""
        found = (self.request.look(find_roles, text, self.columns) for text in self.texts)
        return next((each for each in found if each.mentioned), Roles())


def is_table(card: FileCard) -> bool:
    """Whether a file is a table according to its card."""
    return card.columns is not None or card.name.lower().endswith(_TABLES)


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without "or null": the first alternative that is not null, with the schema's other keywords."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**options[0], **rest} if options else rest


def named_file(cards: list[FileCard], text: str, among: Sequence[FileCard] = ()) -> FileCard | None:
    """Return the file, also `among` others, whose name or id is in a text, else the latest of `cards`."""
    lower = text.lower()
    for each in among or cards:
        if each.name and (each.name.lower() in lower or each.id in text):
            return each
    return cards[-1] if cards else None
