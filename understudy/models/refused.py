"""Parts of a conversation that a provider refuses for good, such as a picture of a wrong type. Pure.

They would end every later turn of their thread, so that the turn is asked again without them, and they are remembered.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Literal

from attrs import define, evolve, field

from understudy.models.items import Item, MessageItem, Part, ReasoningItem
from understudy.models.model import Turn

REMEMBERED: Final = 1_000
"""Parts that are remembered of a model; the oldest one is forgotten, and refused once more."""
LEFT_OUT: Final = "(The file {file_id} could not be shown to you: it is in a form that you do not take.)"
"""Told to the model. The name is nothing to trust, and stands in the description of the message's files."""


def lightened(turn: Turn, about: Literal["attachments", "reasoning", ""]) -> Turn:
    """Return a turn without the parts that may be meant; the turn itself if it has none of them."""
    return _without(turn, lambda key: about in ("", key[0]))


def names_of_attachments(turn: Turn) -> str:
    """Return the names of the pictures and documents of a turn, for people."""
    return ", ".join(dict.fromkeys(name for item in turn.items for name, _ in _attachments(item)))


@define
class RefusedParts:
    """The parts that a model has refused."""

    _known: OrderedDict[tuple[str, str], None] = field(factory=OrderedDict)

    def spare(self, turn: Turn) -> Turn:
        """Return a turn without the parts that were refused before."""
        return _without(turn, self._known.__contains__) if self._known else turn

    def remember(self, refused: Turn, taken: Turn) -> None:
        """Remember what is in the one turn, and not in the other."""
        taken_keys = {key for item in taken.items for key in _keys(item)}
        for key in (key for item in refused.items for key in _keys(item)):
            if key not in taken_keys:
                self._known[key] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _attachments(item: Item) -> Iterator[tuple[str, str]]:
    """Return name and id of each picture and document of an item."""
    if isinstance(item, MessageItem):
        names = {each.id: each.name for each in item.files}
        parts: tuple[Part, ...] = (*item.images, *item.documents)
        for part in parts:
            yield names.get(part.file_id, part.file_id), part.file_id


def _keys(item: Item) -> Iterator[tuple[str, str]]:
    yield from (("attachments", file_id) for _, file_id in _attachments(item))
    if isinstance(item, ReasoningItem) and item.state is not None:
        yield "reasoning", f"{item.origin.run_id} {item.origin.step} {item.origin.agent}"


def _without(turn: Turn, goes: Callable[[tuple[str, str]], bool]) -> Turn:
    items = tuple(_item_without(each, goes) for each in turn.items)
    same = all(one is other for one, other in zip(items, turn.items, strict=True))
    return turn if same else evolve(turn, items=items)


def _item_without(item: Item, goes: Callable[[tuple[str, str]], bool]) -> Item:
    gone = [key for key in _keys(item) if goes(key)]
    if not gone:
        return item
    if isinstance(item, ReasoningItem):
        return evolve(item, state=None)
    assert isinstance(item, MessageItem)  # noqa: S101 - for the type checker: no other item has keys
    ids = {file_id for _, file_id in gone}
    notes = [LEFT_OUT.format(file_id=file_id) for _, file_id in _attachments(item) if file_id in ids]
    return evolve(
        item,
        content="\n".join(part for part in (item.content, *notes) if part),
        images=tuple(each for each in item.images if each.file_id not in ids),
        documents=tuple(each for each in item.documents if each.file_id not in ids),
    )
