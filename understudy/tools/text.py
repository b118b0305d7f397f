"""`summarise_text` and `sanitize_content`: summaries of a text, and removal of its secrets."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from sanitization import PRESETS, Action, Direction, Finding, Placeholders, Sanitizer
from sanitization.detectors.secrets.detector import REPLACEMENT
from transport.wire.events import SanitizationSummary
from understudy.tools.errors import ToolError
from understudy.tools.extract import choose, keywords, split_sentences
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool

# About 30,000 words; a longer text is read as far as this, and the result says so.
MAX_TEXT: Final = 200_000
MAX_SENTENCES: Final = 20
# A sentence longer than this is cut in the summary: some texts have no full stops at all.
MAX_SENTENCE: Final = 600
_MAX_FINDINGS: Final = 200
# Kinds that the sentence about a text names; the value lists them all.
_NAMED_KINDS: Final = 3

Preset: TypeAlias = Literal["standard", "strict"]

_SANITIZERS: Final = {name: Sanitizer(PRESETS[name], Direction.TOOL) for name in ("standard", "strict")}


@tool(retry_safe=True)
def summarise_text(
    text: Annotated[str, Param("The text to sum up.", format="text")],
    sentences: Annotated[int, Param("How many sentences to keep, 1 to 20.")] = 3,
) -> ToolResult:
    """Sum up a text by its most telling sentences, in their own words and order; the same text always gives the same
    summary."""
    if not 1 <= sentences <= MAX_SENTENCES:
        raise ToolError("invalid_arguments", f"sentences must be between 1 and {MAX_SENTENCES}, not {sentences:,}.")
    if not text.strip():
        raise ToolError("invalid_arguments", "There is no text to sum up.")
    found = split_sentences(text[:MAX_TEXT])
    if not found:
        raise ToolError("invalid_arguments", "There are no words in that text to sum up.")
    kept = choose(found, sentences)
    parts = [_cut(found[place].text) for place in kept]
    value = {
        "summary": " ".join(parts),
        "sentences": parts,
        "kept": len(kept),
        "sentence_count": len(found),
        "word_count": sum(len(each.words) for each in found),
        "keywords": keywords(found),
        "truncated": len(text) > MAX_TEXT,
    }
    line = f"{len(kept)} of {len(found):,} sentence{'' if len(found) == 1 else 's'} kept"
    if len(text) > MAX_TEXT:
        line += f"; only the first {MAX_TEXT:,} characters were read"
    return ToolResult(value, line)


def _cut(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1].rstrip() + "…"


@tool(retry_safe=True)
def sanitize_content(
    text: Annotated[str, Param("The text to clean.", format="text")],
    context: ToolContext,
    policy: Annotated[Preset, Param("strict takes out personal data and instructions too.")] = "standard",
) -> ToolResult:
    """Take secrets, hidden characters and terminal sequences out of a text, and list what was taken out and where.

    The server cleans a message before any tool sees it, so what was taken out then is listed as well.
    """
    if len(text) > MAX_TEXT:
        raise ToolError("invalid_arguments", f"The text is longer than {MAX_TEXT:,} characters.")
    sanitized = _SANITIZERS[policy].sanitize(text, Placeholders())
    if sanitized.failures:
        raise ToolError("tool_failed", "The text could not be looked through.")
    gone = [each for each in sanitized.findings if each.action is not Action.FLAG]
    seen = [each for each in sanitized.findings if each.action is Action.FLAG]
    kinds = Counter(each.kind for each in gone)
    total = len(gone) + sanitized.omitted
    before = _from_message(context.found)
    value = {
        "text": sanitized.text,
        "clean": total == 0 and before is None,
        "total": total,
        "counts": dict(Counter(each.category.value for each in gone)),
        "kinds": dict(sorted(kinds.items())),
        "findings": [_listed(each) for each in gone[:_MAX_FINDINGS]],
        "pointed_out": [_listed(each) for each in seen[:_MAX_FINDINGS]],
        "from_message": before,
    }
    stayed = f" {len(seen):,} more {'is' if len(seen) == 1 else 'are'} pointed out and stayed." if seen else ""
    return ToolResult(value, _sentence(before, kinds, total, REPLACEMENT in text) + stayed)


def _sentence(before: dict[str, Any] | None, kinds: Mapping[str, int], total: int, cleaned: bool) -> str:
    """Return a sentence on the redactions of message and text; `cleaned`: the text was redacted before."""
    if before is not None:
        count = before["total"]
        lost = f"{_items(count)} taken out of your message when it came in: {_named(before['kinds'], count)}. "
        here = f"{_items(total, ' more')} taken out of it now: {_named(kinds, total)}."
        return lost + (here if total else "Nothing more had to be taken out.")
    if total:
        return f"{_items(total)} taken out: {_named(kinds, total)}."
    if cleaned:
        return "Something was taken out of this text before; nothing more had to be taken out."
    return "Nothing had to be taken out."


def _items(count: int, more: str = "") -> str:
    return f"{count:,}{more} item{' was' if count == 1 else 's were'}"


def _named(kinds: Mapping[str, int], total: int) -> str:
    """Name the most frequent kinds and count the other items of `total`."""
    shown = Counter(kinds).most_common(_NAMED_KINDS)
    rest = total - sum(count for _, count in shown)
    return ", ".join([f"{count:,} {kind}" for kind, count in shown] + ([f"{rest:,} more"] if rest else []))


def _from_message(found: SanitizationSummary | None) -> dict[str, Any] | None:
    """List the redactions in the message as it was stored; None if there are none, or fewer than a summary needs.

    The places are those in the message as it was sent. Finds that are not listed have no kind here: some of them may
    stand in the context of the message.
    """
    if found is None:
        return None
    rows = [dict(each) for each in found.findings if each["action"] != Action.FLAG.value]
    more = found.omitted or 0
    if not rows and not more:
        return None
    kinds = Counter(str(each["kind"]) for each in rows)
    return {"total": len(rows) + more, "kinds": dict(sorted(kinds.items())), "findings": rows, "not_listed": more}


def _listed(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "start": finding.start, "end": finding.end}
