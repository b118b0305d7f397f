"""Parts of a conversation that a provider refuses for good, such as a picture, or a message that it filters. Pure.

They would end every later turn of their thread, so that the turn is asked again without them, and they are remembered.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from attrs import define, evolve, field

from understudy.models.faults import numbers, said_by
from understudy.models.items import CallItem, Item, MessageItem, NoteItem, Part, ReasoningItem, ResultItem
from understudy.models.model import ModelFault, ModelUnavailable, Turn
from understudy.models.prompt import offered_tools

REMEMBERED: Final = 1_000
"""Parts that are remembered of a model; the oldest one is forgotten, and refused once more."""
MAX_NAMES: Final = 2_000
"""Characters of names of tools that a model is told of."""
MIN_TOOLS: Final = 8
"""Tools that every model takes; a smaller number in its words is another one."""
_TOO_MANY_TOOLS: Final = said_by(
    r"(tools?|functions?|declarations)\b.{0,80}(too (many|long)|maxim|limit|at most|exceed|more than)"
    r"|(too many|maxim|limit|at most|exceed|more than).{0,60}\b(tools|functions|function.declarations)\b"
)
_OF_ONE_TOOL: Final = said_by(r"(tools|functions|declarations)(\[|\.)\d")
LEFT_OUT: Final = "(The file {file_id} could not be shown to you: it is in a form that you do not take.)"
"""Told to the model. The name is nothing to trust, and stands in the description of the message's files."""
NO_RESULT: Final = '{"status":"failed","error":"This result could not be shown to you: it was refused."}'
"""What stands for a refused result."""

_Key: TypeAlias = tuple[str, str]
"""What a part is (``attachments``, ``reasoning``, ``result``, ``message`` with its answer), and its name."""
_Exchange: TypeAlias = list[Item]


def lighter(turn: Turn, error: ModelUnavailable) -> list[Turn]:
    """Return a refused turn without what may be meant, the likeliest first: each by itself, then without all of it.

    That are attachments and reasoning, messages without an answer, the newest results, and all older messages. A
    failure that may pass is taken for the fault of a message without an answer only.
    """
    if error.fault not in (ModelFault.REFUSED, ModelFault.FILTERED, ModelFault.FAILED):
        return []
    kinds = (error.about,) if error.about and error.fault is ModelFault.REFUSED else ("attachments", "reasoning")
    work = turn.work
    last_call = max((n for n, item in enumerate(work) if isinstance(item, CallItem)), default=len(work))
    newest = {item.call_id for item in work[last_call:] if isinstance(item, ResultItem)}

    def is_light(key: _Key) -> bool:
        return key[0] in kinds

    def is_newest(key: _Key) -> bool:
        return key[0] == "result" and key[1] in newest

    made = [
        _without(turn, _never, _is_unanswered),
        _without(turn, is_light, _never),
        _without(turn, is_newest, _never),
        _without(turn, lambda key: is_light(key) or is_newest(key), lambda _: True),
    ]
    if error.about:
        made[0], made[1] = made[1], made[0]
    if error.fault is ModelFault.FAILED:
        made = [_without(turn, _never, _is_unanswered)]
    return [candidate for n, candidate in enumerate(made) if candidate is not turn and candidate not in made[:n]]


def names_of_left_out(whole: Turn, taken: Turn) -> str:
    """Return what the one turn has and the other has not, for people; empty if nobody misses it."""
    gone = set(_keys(whole.items)) - set(_keys(taken.items))
    messages = sum(kind == "message" for kind, _ in gone)
    names = [name for item in whole.items for name, file_id in _attachments(item) if ("attachments", file_id) in gone]
    if any(kind == "result" for kind, _ in gone) and not messages:
        names.append("results of tools")
    if messages:
        names.append("an earlier message" if messages == 1 else f"{messages} earlier messages")
    return ", ".join(dict.fromkeys(names))


def with_tools(turn: Turn, most: int) -> Turn:
    """Return a turn with at most so many tools, a handoff among them; the model is told of the others by name.

    Those that were called in the conversation are kept, the newest first, and then the agent's first ones.
    """
    tools = turn.tools or turn.agent.tools
    left = most - bool(turn.listed_colleagues or turn.colleagues)
    if len(tools) <= left:
        return turn
    called = [item.name for item in reversed(turn.items) if isinstance(item, CallItem)]
    order = [turn.settings.tool_choice, *called, *(tool.name for tool in tools)]
    kept = set(list(dict.fromkeys(name for name in order if any(name == tool.name for tool in tools)))[: max(0, left)])
    fewer = tuple(tool for tool in tools if tool.name in kept)
    names = ", ".join(tool.name for tool in tools if tool.name not in kept)
    note = NoteItem(f"You take {most} tools at most, so that you are not given these: {names[:MAX_NAMES]}")
    agent = evolve(turn.agent, tools=fewer)
    return evolve(turn, agent=agent, tools=fewer if turn.tools else (), notes=(*turn.notes, note))


def most_tools(turn: Turn, error: ModelUnavailable) -> int:
    """Return how many tools a model takes that has refused those of a turn as too many; 0 if it says nothing of it."""
    if error.retryable or not _TOO_MANY_TOOLS.search(error.words) or _OF_ONE_TOOL.search(error.words):
        return 0
    offered = len(offered_tools(turn))
    return max((number for number in numbers(error.words) if MIN_TOOLS <= number < offered), default=0)


@define
class RefusedParts:
    """The parts that a model has refused."""

    _known: OrderedDict[_Key, None] = field(factory=OrderedDict)

    def spare(self, turn: Turn) -> Turn:
        """Return a turn without the parts that were refused before."""
        known = self._known.__contains__
        return _without(turn, known, lambda exchange: any(map(known, _names(exchange)))) if self._known else turn

    def remember(self, refused: Turn, taken: Turn) -> None:
        """Remember what is in the one turn, and not in the other."""
        taken_keys = set(_keys(taken.items))
        for key in _keys(refused.items):
            if key not in taken_keys:
                self._known[key] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _exchanges(items: Sequence[Item]) -> list[_Exchange]:
    """Return messages of the user, each with what follows it. A message that entered a run belongs to that."""
    made: list[_Exchange] = [[]]
    for item in items:
        asks, message_id = isinstance(item, MessageItem) and item.role == "user", item.origin.message_id
        if asks and made[-1] and not (message_id and message_id == made[-1][0].origin.message_id):
            made.append([])
        made[-1].append(item)
    return made


def _names(exchange: _Exchange) -> Iterator[_Key]:
    if exchange and exchange[0].origin.message_id:
        yield "message", exchange[0].origin.message_id


def _is_unanswered(exchange: _Exchange) -> bool:
    return not any(isinstance(item, MessageItem) and item.role == "assistant" for item in exchange)


def _never(_: object) -> bool:
    return False


def _attachments(item: Item) -> Iterator[tuple[str, str]]:
    """Return name and id of each picture and document of an item."""
    if isinstance(item, MessageItem):
        names = {file.id: file.name for file in item.files}
        parts: tuple[Part, ...] = (*item.images, *item.documents)
        for part in parts:
            yield names.get(part.file_id, part.file_id), part.file_id


def _keys(items: Sequence[Item]) -> Iterator[_Key]:
    """Return the keys of the parts of items; of parts that are left out already none."""
    for exchange in _exchanges(items):
        yield from _names(exchange)
        for item in exchange:
            yield from _keys_of(item)


def _keys_of(item: Item) -> Iterator[_Key]:
    yield from (("attachments", file_id) for _, file_id in _attachments(item))
    if isinstance(item, ReasoningItem) and item.state is not None:
        yield "reasoning", f"{item.origin.run_id} {item.origin.step} {item.origin.agent}"
    if isinstance(item, ResultItem) and item.content != NO_RESULT:
        yield "result", item.call_id


def _without(turn: Turn, goes: Callable[[_Key], bool], goes_whole: Callable[[_Exchange], bool]) -> Turn:
    """Return a turn without some parts, and without some messages before its newest one."""
    *older, newest = _exchanges(turn.items)
    left = [item for exchange in older if not goes_whole(exchange) for item in exchange] + newest
    items = tuple(_item_without(item, goes) for item in left)
    same = len(items) == len(turn.items) and all(map(lambda one, other: one is other, items, turn.items))
    return turn if same else evolve(turn, items=items)


def _item_without(item: Item, goes: Callable[[_Key], bool]) -> Item:
    gone = [key for key in _keys_of(item) if goes(key)]
    if not gone:
        return item
    if isinstance(item, ReasoningItem):
        return evolve(item, state=None)
    if isinstance(item, ResultItem):
        return evolve(item, content=NO_RESULT)
    assert isinstance(item, MessageItem)  # noqa: S101 - for the type checker: no other item has keys
    ids = {file_id for _, file_id in gone}
    notes = [LEFT_OUT.format(file_id=file_id) for _, file_id in _attachments(item) if file_id in ids]
    return evolve(
        item,
        content="\n".join(part for part in (item.content, *notes) if part),
        images=tuple(image for image in item.images if image.file_id not in ids),
        documents=tuple(document for document in item.documents if document.file_id not in ids),
    )
