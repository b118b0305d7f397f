"""Fits the items of a conversation into the window of a model, in coarse steps. Pure.

1. If the items fill `HIGH` of the room, the oldest results become one line each until they fill `LOW` of it; if that
   is not enough, the oldest turns become a summary. In between nothing changes, so that the prefix of the input stays
   the same and a provider's prompt cache keeps it.
2. What is shown shortened is a `Compaction`, stored as a step of the run that made it; it applies to all later input of
   the branch. The stored results and messages are untouched.
3. The results of the newest turn are never folded. A result longer than an eighth of the window is always cut.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from attrs import define, evolve, field, frozen

from understudy.chat.run_state.turns import RECALL, UnreadableSteps
from understudy.models.items import newest_request
from understudy.models.model import (
    CallItem,
    FileCard,
    Item,
    MessageItem,
    ModelLimits,
    NoteItem,
    Origin,
    ReasoningItem,
    ResultItem,
    ToolCard,
    fenced,
    unfenced,
)
from understudy.storage.records import AnsweredMessage, StepRecord

HIGH: Final = 0.85
LOW: Final = 0.6
"""Parts of the room at which items are shortened, and down to which."""
BYTES_PER_TOKEN: Final = 3
"""UTF-8 bytes counted as a token: English has about 4, Chinese 3, JSON 2 to 4. The reported usage corrects it."""
ITEM_TOKENS: Final = 8
"""Tokens counted for the frame of an item: role, ids, punctuation."""
IMAGE_TOKENS: Final = 1_500
"""Tokens counted for an image, as much as providers charge for a large one."""
DOCUMENT_TOKENS: Final = 3_000
BYTES_PER_DOCUMENT_TOKEN: Final = 40
"""Tokens counted for a PDF file: at least those of a page, as text and image; else one for that many bytes."""
SUMMARY_TOKENS: Final = 1_000
"""Tokens of a summary of older turns."""
FOLDED_CHARACTERS: Final = 200
"""Characters of a folded result's own summary that stay."""
SUMMARISE: Final = (
    "Summarise the conversation above for yourself, because its beginning will be left out from now on: what the user "
    "wants, what was decided, facts and numbers found, files and ids that may be needed, and what is still open. At "
    "most 400 words, as plain text. Do not answer anything, and do not address the user."
)
"""The request to a model for a summary of older turns."""


@frozen
class Place:
    """A turn of a run, by the number of its step; 0 is the user's message that the run answers."""

    run_id: str
    step: int = 0


@frozen
class Compaction:
    """What of a conversation the model is shown shortened.

    Items before `start` are left out, and `summary` stands for them. Results up to `folded` are one line each.
    """

    start: Place | None = None
    folded: Place | None = None
    summary: str = field(default="", repr=False)


NONE: Final = Compaction()


def estimate(text: str) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    return (len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) // BYTES_PER_TOKEN + 1


def item_tokens(item: Item) -> int:
    """Return about how many tokens an item has."""
    match item:
        case MessageItem(content=content, files=files, images=images, documents=documents):
            described = sum(len(card.name) + sum(map(len, card.columns or ())) + 60 for card in files)
            return (
                ITEM_TOKENS
                + estimate(content)
                + described // BYTES_PER_TOKEN
                + IMAGE_TOKENS * len(images)
                + sum(max(DOCUMENT_TOKENS, len(document.content) // BYTES_PER_DOCUMENT_TOKEN) for document in documents)
            )
        case CallItem(name=name, arguments=arguments):
            return ITEM_TOKENS + estimate(name) + len(msgspec.json.encode(arguments)) // BYTES_PER_TOKEN
        case ReasoningItem(content=content, state=state):
            held = 0 if state is None else len(msgspec.json.encode(state.value))
            return ITEM_TOKENS + estimate(content) + held // BYTES_PER_TOKEN
        case _:
            return ITEM_TOKENS + estimate(item.content)


def tools_tokens(tools: Iterable[ToolCard]) -> int:
    """Return about how many tokens the descriptions of tools have."""
    return sum(estimate(str(tool)) for tool in tools)


def encode_compaction(compaction: Compaction) -> Any:
    """Return a compaction as the result of its step."""
    return msgspec.to_builtins(compaction)


def read_compaction(steps: Sequence[StepRecord]) -> Compaction | None:
    """Return the compaction of the last of these steps that is one, None without one.

    Raises:
        UnreadableSteps: It cannot be decoded.
    """
    summaries = [step for step in steps if step.kind == "summary" and step.ended_at is not None]
    if not summaries:
        return None
    try:
        return msgspec.convert(summaries[-1].result, Compaction)
    except (msgspec.ValidationError, TypeError) as error:
        raise UnreadableSteps(f"step {summaries[-1].number} of run {summaries[-1].run_id}") from error


def index_of(items: Sequence[Item], place: Place | None) -> int:
    """Return the index of the first item from a place on; 0 without a place, or if its run is not among the items."""
    if place is None:
        return 0
    for number, item in enumerate(items):
        if item.origin.run_id == place.run_id and item.origin.step >= place.step:
            return number
    return 0


def shortened(items: Sequence[Item], by: Compaction, window_tokens: int) -> list[Item]:
    """Return the items as the model is shown them."""
    start, folded = 0 if by.start is None else index_of(items, by.start), by.folded
    folded_to = -1
    if folded is not None:
        of_run = (n for n, item in enumerate(items) if item.origin.run_id == folded.run_id)
        folded_to = max((n for n in of_run if items[n].origin.step <= folded.step), default=-1)
    items_shown: list[Item] = [NoteItem(by.summary)] if by.summary else []
    if by.start is not None and by.start.step:  # in the middle of a run: its question stays
        asked = (item for item in items[:start] if isinstance(item, MessageItem) and item.role == "user")
        items_shown += [item for item in asked if item.origin.run_id == by.start.run_id]
    for number, item in enumerate(items[start:], start):
        if isinstance(item, ResultItem):
            item = folded_result(item) if number <= folded_to else cut_result(item, window_tokens)
        items_shown.append(item)
    return items_shown


def folded_result(item: ResultItem) -> ResultItem:
    """Return a result as one line with its `call_id`, unless that is longer."""
    try:
        body = msgspec.json.decode(unfenced(item.content))
    except (msgspec.DecodeError, UnicodeError):
        body = None
    text = ""
    if isinstance(body, dict):
        text = str(body.get("summary") or body.get("error") or "")[:FOLDED_CHARACTERS]
    hint = f'Folded. {RECALL} with call_id "{item.call_id}" shows the result.'
    line = fenced({"summary": text, "left_out": hint})
    return evolve(item, content=line) if len(line) < len(item.content) else item


def cut_result(item: ResultItem, window_tokens: int) -> ResultItem:
    """Return a result that takes more than an eighth of the window cut there; any other unchanged."""
    longest = max(window_tokens // 8, 200) * BYTES_PER_TOKEN
    if len(item.content) <= longest:
        return item
    whole = unfenced(item.content)
    hint = f'{len(whole) - longest:,} more characters. {RECALL} with call_id "{item.call_id}" shows them.'
    return evolve(item, content=fenced({"beginning": whole[:longest], "left_out": hint}))


def plan(items: Sequence[Item], before: Compaction, window_tokens: int, target: float) -> Compaction:
    """Return a further compaction after `before`, so that the items have at most `target` tokens, if that is possible.

    If its `start` is another than that of `before`, its summary is still to be made, of the items before it.
    """
    turn = max((n for n, item in enumerate(items) if isinstance(item, CallItem)), default=-1)
    newest = items[turn].origin if turn >= 0 else None
    last = items[max(turn, newest_request(items))].origin if items else None
    items_shown = shortened(items, before, window_tokens)
    total = sum(map(item_tokens, items_shown))
    folded = before.folded
    for item in items_shown:
        if total <= target:
            break
        if isinstance(item, ResultItem) and item.origin != newest:
            folded = Place(item.origin.run_id, item.origin.step)
            total -= item_tokens(item) - item_tokens(folded_result(item))
    planned = evolve(before, folded=folded)
    if total <= target:
        return planned
    # All results but the newest are folded, and that is not enough: leave out the oldest turns.
    items_shown = shortened(items, planned, window_tokens)
    sizes = [item_tokens(item) for item in items_shown]
    total = sum(sizes) + SUMMARY_TOKENS
    start: Place | None = None
    questions = 0  # tokens of those of the run at hand, which stay if it is begun in its middle
    for item, size in zip(items_shown, sizes, strict=True):
        place = Place(item.origin.run_id, item.origin.step)
        if place.run_id and place != start:
            questions = questions if start is not None and place.run_id == start.run_id else 0
            start = place
            if total + (questions if place.step else 0) <= target or item.origin == last:
                break
        if isinstance(item, MessageItem) and item.role == "user":
            questions += size
        total -= size
    if start is None or index_of(items, start) <= index_of(items, before.start):
        return planned  # there is nothing before it that could be left out
    return evolve(planned, start=start)


def describe(items: Sequence[Item]) -> str:
    """Return a plain summary of items, for when no model makes one: what the user asked, and which tools were used."""
    requests = [item.content for item in items if isinstance(item, MessageItem) and item.role == "user"]
    earlier = [item.content for item in items if isinstance(item, NoteItem) and not item.origin.run_id]
    tools: dict[str, int] = {}
    for item in items:
        if isinstance(item, CallItem):
            tools[item.name] = tools.get(item.name, 0) + 1
    lines = [summary[:2_000] for summary in earlier]
    lines += [f"The user asked: {' '.join(request.split())[:200]}" for request in requests[-20:]]
    if tools:
        lines.append("Tools used: " + ", ".join(f"{name} ({count})" for name, count in sorted(tools.items())[:40]))
    return "\n".join(lines)[-6_000:]


def exchanges_compaction(summaries: Sequence[StepRecord], exchanges: Sequence[AnsweredMessage]) -> Compaction:
    """Return the newest compaction of a run's own steps, else of the runs before it; an unreadable one is skipped."""
    for steps in (summaries, *(exchange.steps for exchange in reversed(exchanges))):
        try:
            if (compaction := read_compaction(steps)) is not None:
                return compaction
        except UnreadableSteps:
            continue
    return NONE


SCALES = (0.6, 1.5)
"""Bounds of the correction of the estimate by the usage that a provider reports."""
FULL = 0.9
"""Part of an input that is too long which is taken for the model's window, if its provider says no number."""
SCALED_FROM = 2_000
"""Estimated tokens of an input from which the reported usage corrects the estimate."""


@define
class ModelInput:
    """The items of a conversation under a compaction. `limits` are those of the current model, `origin` is that of the
    last turn's items, `files` are the cards of the files of the message.

    `shown` are the items as the model is shown them, `tokens` is their estimate; both grow with `add` and change with
    `compact`. `shortens` says whether a result or a turn is shown shortened.
    """

    limits: ModelLimits = field(factory=ModelLimits)
    items: list[Item] = field(factory=list, repr=False)
    compaction: Compaction = NONE
    shown: list[Item] = field(factory=list, repr=False)
    tokens: int = 0
    shortens: bool = False
    scale: float = 1.0
    origin: Origin = field(factory=Origin)
    files: tuple[FileCard, ...] = ()

    def add(self, items: Iterable[Item]) -> None:
        """Append items."""
        for item in items:
            self.items.append(item)
            shown = cut_result(item, self.limits.window_tokens) if isinstance(item, ResultItem) else item
            self.shortens |= shown is not item
            self.shown.append(shown)
            self.tokens += item_tokens(shown)

    def compact(self, compaction: Compaction, items: list[Item] | None = None) -> None:
        """Show the items under another compaction, or other `items`, which replace them."""
        if items is not None:
            self.items = items
        self.compaction = compaction
        self.shown = shortened(self.items, compaction, self.limits.window_tokens)
        self.tokens = sum(map(item_tokens, self.shown))
        same = len(self.shown) == len(self.items)
        self.shortens |= not same or any(a is not b for a, b in zip(self.shown, self.items, strict=True))

    def room(self, fixed_tokens: int, reserve: int) -> float:
        """Return the tokens that items may have beside `fixed_tokens` of instructions and tools and the reply."""
        window = self.limits.window_tokens
        return max(window - min(reserve, window // 2) - fixed_tokens * self.scale, window * 0.1) / self.scale

    def asks_too_much(self) -> bool:
        """Return whether the text of the user's message alone has more tokens than the window."""
        at = newest_request(self.shown)
        item = self.shown[at] if at >= 0 else None
        return isinstance(item, MessageItem) and estimate(item.content) * self.scale > self.limits.window_tokens

    def fits(self, fixed_tokens: int, reserve: int) -> bool:
        """Return whether the next request needs no further compaction."""
        return self.tokens <= self.room(fixed_tokens, reserve) * HIGH

    def planned(self, fixed_tokens: int, reserve: int) -> Compaction:
        """Return the compaction that the next request needs: the present one if the items fit. If they do not, this and
        `compact` take a millisecond for each result of 256 KiB: not in the event loop."""
        if self.fits(fixed_tokens, reserve):
            return self.compaction
        room = self.room(fixed_tokens, reserve)
        return plan(self.items, self.compaction, self.limits.window_tokens, room * LOW)

    def older(self, planned: Compaction) -> list[Item]:
        """Return the items that `planned` leaves out, as they are shown now."""
        return shortened(self.items[: index_of(self.items, planned.start)], self.compaction, self.limits.window_tokens)

    def overflow(self, limits: ModelLimits, fixed_tokens: int) -> None:
        """Take the present input for longer than the model's window, as its provider says; `limits` are the model's."""
        estimated = int((fixed_tokens + self.tokens) * self.scale * FULL)
        self.limits = evolve(limits, window_tokens=max(1, min(limits.window_tokens, estimated)))

    def correct(self, estimated: int, reported: int) -> None:
        """Correct the estimate by the tokens that the provider reported for the last input."""
        if reported > 0 and estimated >= SCALED_FROM:
            low, high = SCALES
            self.scale = min(max(reported / estimated, low), high)
