"""The input of a run's model: the items so far, as they are shown to it, and how many tokens they have. Pure."""

from collections.abc import Iterable

from attrs import define, evolve, field

from understudy.chat.run.window import (
    HIGH,
    LOW,
    NONE,
    Compaction,
    cut_result,
    describe,
    estimate,
    index_of,
    item_tokens,
    plan,
    shortened,
)
from understudy.models.items import newest_request
from understudy.models.model import FileCard, Item, MessageItem, ModelLimits, Origin, ResultItem

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

    def load(self, items: Iterable[Item], compaction: Compaction) -> None:
        """Start with these items under this compaction."""
        self.items = list(items)
        self.compact(compaction)

    def add(self, items: Iterable[Item]) -> None:
        """Append items."""
        for item in items:
            self.items.append(item)
            shown = cut_result(item, self.limits.window_tokens) if isinstance(item, ResultItem) else item
            self.shortens |= shown is not item
            self.shown.append(shown)
            self.tokens += item_tokens(shown)

    def compact(self, compaction: Compaction) -> None:
        """Show the items under another compaction."""
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
        asked = self.shown[at] if at >= 0 else None
        return isinstance(asked, MessageItem) and estimate(asked.content) * self.scale > self.limits.window_tokens

    def fits(self, fixed_tokens: int, reserve: int) -> bool:
        """Return whether the next request needs no further compaction."""
        return self.tokens <= self.room(fixed_tokens, reserve) * HIGH

    def planned(self, fixed_tokens: int, reserve: int) -> Compaction:
        """Return the compaction that the next request needs: the present one if the items fit.

        If they do not, this and `compact` take a millisecond for each result of 256 KiB: not in the event loop.
        """
        if self.fits(fixed_tokens, reserve):
            return self.compaction
        room = self.room(fixed_tokens, reserve)
        return plan(self.items, self.compaction, self.limits.window_tokens, room * LOW)

    def older(self, planned: Compaction) -> list[Item]:
        """Return the items that `planned` leaves out, as they are shown now."""
        return shortened(self.items[: index_of(self.items, planned.start)], self.compaction, self.limits.window_tokens)

    def plain_summary(self, planned: Compaction) -> str:
        """Return a summary of those items that no model made."""
        return describe(self.older(planned))

    def overflow(self, limits: ModelLimits, fixed_tokens: int) -> None:
        """Take the present input for longer than the model's window, as its provider says; `limits` are the model's."""
        estimated = int((fixed_tokens + self.tokens) * self.scale * FULL)
        self.limits = evolve(limits, window_tokens=max(1, min(limits.window_tokens, estimated)))

    def correct(self, estimated: int, reported: int) -> None:
        """Correct the estimate by the tokens that the provider reported for the last input."""
        if reported > 0 and estimated >= SCALED_FROM:
            low, high = SCALES
            self.scale = min(max(reported / estimated, low), high)
