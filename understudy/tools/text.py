"""`summarise_text` and `sanitize_content`: summaries of a text, and removal of its secrets."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias

from attrs import field, frozen

from sanitization import PRESETS, Action, Direction, Finding, Placeholders, Sanitizer
from sanitization.detectors.secrets.detector import REPLACEMENT
from transport.wire.events import SanitizationSummary
from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool

MAX_TEXT: Final = 200_000
"""Characters of a text (about 30,000 words). A summary covers the beginning of a longer one, and says so."""
MAX_SENTENCES: Final = 20
MAX_SENTENCE: Final = 600
"""Characters of a sentence in a summary; a longer one is cut: some texts have no full stops at all."""
_MAX_FINDINGS: Final = 200
_NAMED_KINDS: Final = 3
"""Kinds that the summary line names; the value lists them all."""

Preset: TypeAlias = Literal["standard", "strict"]

# Sentence ends of scripts with spaces need a space after them, those of Chinese, Japanese and Devanagari do not.
# A match cannot begin within a run of dots: that would be quadratic in its length.
_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]{0,3}(?=\s)|[。！？｡؟।]+[」』”’）]{0,3}|\n\s*\n|\n(?=\s*[-*•#]\s)"  # noqa: RUF001
)
_BEFORE_DOT: Final = re.compile(r"(?:^|[\s(])((?:[A-Za-zÀ-ɏ]\.)*[A-Za-zÀ-ɏ]{1,5})\.$")
_ABBREVIATIONS: Final = frozenset(
    "mr mrs ms dr prof st sr jr vs etc e.g i.e cf al approx fig no nr vol pp ca bzw z.b u.a d.h inc ltd co corp dept "  # noqa: SIM905 (words read better as words)
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
# Runs of letters and digits; in scripts without spaces every pair of characters counts as a word.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\W_]+(?:['’-][^\W_]+)*")  # noqa: RUF001
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

# Stop words of a few languages. In other languages only words of one or two letters are ignored.
_COMMON: Final = frozenset(
    """
    the and for are was were has have had not but with from that this these those they them their its it's his her
    our your you she who which what when where will would can could should may might been being than then there here
    also into over under about after before more most some such only other all any each both very just does did how
    why out off per via und der die das den dem des ein eine einen einer eines ist sind war mit von für auf nicht
    auch als wie bei nach aus oder aber wird les des une est sont pas pour dans que qui sur avec par plus los las
    del una con por para como más
    """.split()  # noqa: SIM905 (words read better as words)
)

OPENING: Final = 1.5  # factors for the first sentence of the text, and of a paragraph
PARAGRAPH: Final = 1.15
KEYWORDS: Final = 8


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
    kept = _choose(found, sentences)
    parts = [_cut(found[place].text) for place in kept]
    topical = Counter(word for each in found for word in _topical(each.words))
    value = {
        "summary": " ".join(parts),
        "sentences": parts,
        "kept": len(kept),
        "sentence_count": len(found),
        "word_count": sum(len(each.words) for each in found),
        "keywords": [word for word, _ in topical.most_common(KEYWORDS)],
        "truncated": len(text) > MAX_TEXT,
    }
    line = f"{len(kept)} of {len(found):,} sentence{'' if len(found) == 1 else 's'} kept"
    if len(text) > MAX_TEXT:
        line += f"; only the first {MAX_TEXT:,} characters were read"
    return ToolResult(value, line)


def _cut(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1].rstrip() + "…"


@frozen
class Sentence:
    """A sentence, its words for counting, and whether it opens a paragraph."""

    text: str
    words: tuple[str, ...] = field(repr=False)
    opens: bool = False


def split_sentences(text: str) -> list[Sentence]:
    """Return the sentences of a text in order, without pieces that have no word."""
    sentences: list[Sentence] = []
    start, opens = 0, True
    for end in (*_END.finditer(text), None):
        if end is not None and end[0][0] in ".!?…" and _continues(text, start, end):
            continue
        raw = text[start : len(text) if end is None else end.end()]
        if words := tuple(_words(raw)):
            sentences.append(Sentence(" ".join(raw.split()), words, opens))
            opens = False
        if end is not None:
            opens = opens or end[0].startswith("\n")
            start = end.end()
    return sentences


def _continues(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether the sentence goes on after this dot: it follows an abbreviation or initial, or a small letter follows."""
    after = text[end.end() : end.end() + 40].lstrip()[:1]
    if after.islower():
        return True
    before = _BEFORE_DOT.search(text[max(start, end.start() - 20) : end.start() + 1])
    if before is None or end[0] != ".":
        return False
    word = before[1]
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I")


def _words(raw: str) -> list[str]:
    found: list[str] = []
    for each in _WORD.findall(raw):
        if _UNSPACED.match(each):
            found.extend(each[place : place + 2] for place in range(max(1, len(each) - 1)))
        else:
            found.append(each.casefold())
    return found


def _topical(words: Sequence[str]) -> list[str]:
    """Return the words that carry a topic."""
    return [
        word
        for word in words
        if _UNSPACED.match(word) or (len(word) > 2 and word not in _COMMON and not word.isdigit())
    ]


def _choose(sentences: Sequence[Sentence], count: int) -> list[int]:
    """Return the positions of the `count` best sentences, in the order of the text; ties go to the earlier one.

    The method is SumBasic (Nenkova and Vanderwende, 2005): a sentence weighs the mean frequency of its words. The words
    of a chosen sentence count less from then on, so that the next one has another subject. The opening of a text and of
    its paragraphs weighs more (Baxendale, 1958, found the topic there in 85 of 100 paragraphs). The time is linear in
    the text for a bounded `count`.
    """
    if len(sentences) <= count:
        return list(range(len(sentences)))
    topical = [_topical(each.words) for each in sentences]
    frequency = Counter(word for words in topical for word in words)
    weight = {word: times / frequency.total() for word, times in frequency.items()}

    def score(place: int) -> float:
        # A sentence of two words would win by one frequent word: short ones are measured as if they had six.
        mean = sum(weight[word] for word in topical[place]) / max(len(topical[place]), 6)
        return mean * (OPENING if place == 0 else PARAGRAPH if sentences[place].opens else 1.0)

    chosen: list[int] = []
    left = set(range(len(sentences)))
    for _ in range(count):
        best = max(left, key=lambda place: (score(place), -place))
        chosen.append(best)
        left.remove(best)
        for word in set(topical[best]):
            weight[word] **= 2
    return sorted(chosen)


@cache
def _sanitizer(policy: Preset) -> Sanitizer:
    """Return the sanitizer of a policy, which takes some 10 ms to build."""
    return Sanitizer(PRESETS[policy], Direction.TOOL)


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
    sanitized = _sanitizer(policy).sanitize(text, Placeholders())
    if sanitized.failures:
        raise ToolError("tool_failed", "The text could not be scanned.")
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
