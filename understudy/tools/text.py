"""`summarise_text` and `sanitize_content`: what is said in a text, and what should not be in it."""

from collections import Counter
from typing import Annotated, Any, Final, Literal, TypeAlias

from sanitization import PRESETS, Action, Direction, Finding, Placeholders, Scrubber
from sanitization.detectors.secrets import REPLACEMENT
from understudy.tools.errors import ToolError
from understudy.tools.extract import choose, keywords, split_sentences
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

# About 30,000 words; a longer text is read as far as this, and the result says so.
MAX_TEXT: Final = 200_000
MAX_SENTENCES: Final = 20
# A sentence longer than this is cut in the summary: some texts have no full stops at all.
MAX_SENTENCE: Final = 600
_MAX_FINDINGS: Final = 200

Preset: TypeAlias = Literal["standard", "strict"]

_SCRUBBERS: Final = {name: Scrubber(PRESETS[name], Direction.TOOL) for name in ("standard", "strict")}


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
    policy: Annotated[Preset, Param("strict takes out personal data and instructions too.")] = "standard",
) -> ToolResult:
    """Take secrets, hidden characters and terminal sequences out of a text, and list what was taken out and where."""
    if len(text) > MAX_TEXT:
        raise ToolError("invalid_arguments", f"The text is longer than {MAX_TEXT:,} characters.")
    scrubbed = _SCRUBBERS[policy].scrub(text, Placeholders())
    if scrubbed.failures:
        raise ToolError("tool_failed", "The text could not be looked through.")
    gone = [each for each in scrubbed.findings if each.action is not Action.FLAG]
    seen = [each for each in scrubbed.findings if each.action is Action.FLAG]
    kinds = Counter(each.kind for each in gone)
    total = len(gone) + scrubbed.omitted
    value = {
        "text": scrubbed.text,
        "clean": total == 0,
        "total": total,
        "counts": dict(Counter(each.category.value for each in gone)),
        "kinds": dict(sorted(kinds.items())),
        "findings": [_listed(each) for each in gone[:_MAX_FINDINGS]],
        "pointed_out": [_listed(each) for each in seen[:_MAX_FINDINGS]],
    }
    stayed = f" {len(seen):,} more {'is' if len(seen) == 1 else 'are'} pointed out and stayed." if seen else ""
    if not total and REPLACEMENT in text:
        return ToolResult(value, "What had to go was taken out when the message came in; nothing more was." + stayed)
    if not total:
        return ToolResult(value, "Nothing had to be taken out." + stayed)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    return ToolResult(value, f"{total:,} find{'' if total == 1 else 's'} taken out: {named}.{stayed}")


def _listed(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "start": finding.start, "end": finding.end}
