"""`compare_texts`: what two texts have in common, and which sentences were added, removed or changed."""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.text import split_sentences
from understudy.tools.tool import tool

MAX_TEXT: Final = 50_000
"""Characters of each text. The time of a comparison grows with the product of the numbers of sentences."""
MAX_SENTENCES: Final = 800
MAX_CHANGES: Final = 100
_MAX_SHOWN: Final = 400
_ALIKE: Final = 0.5
"""The share of common words from which two sentences at the same place are one sentence that was changed."""


@tool(retry_safe=True)
def compare_texts(
    first: Annotated[str, Param("The first text, or the older version.", format="first-text")],
    second: Annotated[str, Param("The second text, or the newer version.", format="second-text")],
) -> ToolResult:
    """Compare two texts or versions of a text: how similar they are, the differences, what changed, and which
    sentences were added and removed."""
    for which, text in (("first", first), ("second", second)):
        if not text.strip():
            raise ToolError("invalid_arguments", f"The {which} text is empty; two texts are needed to compare.")
        if len(text) > MAX_TEXT:
            raise ToolError("invalid_arguments", f"The {which} text is longer than {MAX_TEXT:,} characters.")
    old, new = ([each.text for each in split_sentences(text)][:MAX_SENTENCES] for text in (first, second))
    changes, same = _changes(old, new)
    similarity = _similarity(first.split(), second.split())
    kinds = {kind: sum(each["change"] == kind for each in changes) for kind in ("added", "removed", "changed")}
    value: dict[str, Any] = {
        "similarity_percent": round(100 * similarity, 1),
        "same_sentences": same,
        **kinds,
        "changes": changes[:MAX_CHANGES],
        "word_counts": {"first": len(first.split()), "second": len(second.split())},
    }
    if not changes:
        summary = "Both texts say the same" + ("." if first == second else ", apart from spacing.")
    else:
        counted = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
        summary = f"{value['similarity_percent']:g} % of the words agree; sentences: {same:,} the same, {counted}."
    return ToolResult(value, summary)


def _similarity(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of the words that both have, in any order; 1 for two empty ones. Linear in their number."""
    words = len(first) + len(second)
    return 2 * (Counter(first) & Counter(second)).total() / words if words else 1.0


def _changes(old: Sequence[str], new: Sequence[str]) -> tuple[list[dict[str, str]], int]:
    """Return the changes in the order of the texts, and the number of sentences that are the same."""
    changes: list[dict[str, str]] = []
    same = 0
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            same += b - a
            continue
        gone, came = list(old[a:b]), list(new[c:d])
        while gone and came and _similarity(gone[0].split(), came[0].split()) >= _ALIKE:
            changes.append({"change": "changed", "first": _shown(gone.pop(0)), "second": _shown(came.pop(0))})
        changes += [{"change": "removed", "first": _shown(each), "second": ""} for each in gone]
        changes += [{"change": "added", "first": "", "second": _shown(each)} for each in came]
    return changes, same


def _shown(sentence: str) -> str:
    return sentence if len(sentence) <= _MAX_SHOWN else sentence[: _MAX_SHOWN - 1] + "…"
