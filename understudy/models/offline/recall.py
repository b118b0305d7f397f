"""Finds the answer to a question in the results of earlier tool calls of the conversation: "What carrier was that?" """

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import frozen

from understudy.models.items import CallItem, Item, MessageItem, ResultItem, newest_request
from understudy.models.offline import scan
from understudy.models.offline.markdown import plain
from understudy.models.offline.request import results_of

MAX_RESULTS: Final = 20
"""Results that are searched, the newest first."""
MAX_CONTENT: Final = 64 * 1024
"""Characters of a result that is searched: the search runs on the event loop."""
MAX_FIELDS: Final = 2_000
MAX_DEPTH: Final = 6
_ASKING: Final = frozenset({"what", "which", "who", "when", "where", "how", "whose"})
# Words after "how" that ask for a value: how much, how long. Others, as in "how can we", ask for advice.
_MEASURED: Final = frozenset(
    {"much", "many", "long", "often", "far", "old", "big", "high", "large", "fast", "was", "is"}
)
_STOP: Final = _ASKING | frozenset(
    "a again an and be been did do does for had has have i in is it its me my of on one or please remind same say tell "  # noqa: SIM905 (words read better as words)
    "that the their them there these they this those to was were you your again said show give many much".split()
)


@frozen
class Recalled:
    """A field of an earlier result that a question asks for."""

    tool: str
    field: str
    value: Any
    about: str = ""

    @property
    def sentence(self) -> str:
        """The answer."""
        source = f"{self.tool.replace('_', ' ')}{f' on {self.about}' if self.about else ''}"
        name = self.field.replace("_", " ")
        return f"{name[:1].upper() + name[1:]}: {plain(self.value)} (from the earlier result of {source})."


def recall(question: str, items: Sequence[Item]) -> Recalled | None:
    """Return the field of the newest earlier result whose name has only words of the question; None if it is no
    question, or no field fits. Of several fields in one result the one with most words is taken."""
    tokens = scan.words(question[:500])
    if not _ASKING & set(tokens) or (("how" in tokens) and not _MEASURED & set(tokens)):
        return None
    asked = {scan.stem(each) for each in tokens if each not in _STOP}
    earlier = items[: max(0, newest_request(items))]
    recent = [each for each in earlier if isinstance(each, ResultItem) and len(each.content) <= MAX_CONTENT][
        -MAX_RESULTS:
    ]
    calls = [each for each in earlier if isinstance(each, CallItem)]
    for result in reversed(list(results_of([*calls, *recent]))):
        best: tuple[int, str, Any] | None = None
        for name, value in _fields(result.value if result.ok else None):
            stems = {scan.stem(each) for each in scan.words(name.replace("_", " "))}
            if stems and stems <= asked and (best is None or len(stems) > best[0]):
                best = len(stems), name, value
        if best is not None:
            given = result.arguments.values()
            names = {card.id: card.name for each in earlier if isinstance(each, MessageItem) for card in each.files}
            about = [names.get(str(e), str(e)) for e in given if isinstance(e, str | int) and len(str(e)) <= 40]
            return Recalled(result.tool, best[1], best[2], ", ".join(about[:2]))
    return None


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the named scalars of a JSON value, those of higher levels first; of a list only its first entries."""
    level, seen = [value], 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                for name, inner in each.items():
                    seen += 1
                    if seen > MAX_FIELDS:
                        return
                    if isinstance(inner, dict | list):
                        below.append(inner)
                    elif inner is not None:
                        yield str(name), inner
            elif isinstance(each, list):
                below += [inner for inner in each[:20] if isinstance(inner, dict)]
        level = below
