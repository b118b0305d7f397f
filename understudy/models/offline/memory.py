"""Wishes to remember, look up or forget, and questions that remembered values answer: "what is my colour?" Pure.

The tools are known by their names, `remember`, `search_memory` and `forget`, and no other request calls them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import frozen

from understudy.models.items import NoteItem
from understudy.models.model import ToolCard, unfenced
from understudy.models.offline import scan
from understudy.models.offline.markdown import plain
from understudy.models.offline.planning import Planned

TOOLS: Final = frozenset({"remember", "search_memory", "forget"})
MAX_TEXT: Final = 2_000
"""Characters of a message in which such a wish is looked for."""
MAX_FACT: Final = 500

_LEAD: Final = r"^\s*(?:(?:please|ok|okay|hi|hello|hey|also|and|can you|could you|will you|would you)[,!]?\s+)*"
_REMEMBER: Final = re.compile(
    _LEAD + r"(?P<verb>remember|memori[sz]e|keep in mind|(?:do not|don['\u2019]t) forget)\b\s*"
    r"(?:for (?:later|next time)\b\s*)?(?:(?:this|the following)\s*(?=:))?(?:[,:]\s*)?(?:that\b\s*)?(?P<what>[^\n]+)",
    re.IGNORECASE,
)
_FORGET: Final = re.compile(_LEAD + r"forget\b\s*(?:about\b\s*)?(?:that\b\s*)?(?P<what>[^\n]+)", re.IGNORECASE)
_LOOK: Final = re.compile(
    r"^\s*(?:and\s+|so\s+)?(?:what (?:do|did|can|have) you (?:still )?(?:remember(?:ed)?|know)|"
    r"do you (?:still )?remember)\b\s*(?:anything|something)?\s*(?:about|of|from)?\s*(?P<what>[^\n]*)",
    re.IGNORECASE,
)
_END: Final = re.compile(r"[.!?;](?:\s+|$)")
_ALL: Final = re.compile(
    r"(?:everything|all|it all|all of it)\b(?:\s+you\b.*$|(?:\s+(?:about|of) (?:me|us))?\s*$)", re.IGNORECASE
)
_NOTHING: Final = frozenset({"it", "that", "this", "me", "us", ""})
_MINE: Final = frozenset({"i", "me", "my", "mine", "our", "we"})
_ASKING: Final = frozenset({"what", "which", "who", "when", "where", "how", "whose"})
_LITTLE: Final = frozenset(
    {
        "a",
        "am",
        "an",
        "and",
        "are",
        "did",
        "do",
        "does",
        "for",
        "have",
        "in",
        "is",
        "of",
        "on",
        "say",
        "tell",
        "the",
        "to",
    }
    | {"was", "were", "you", "remember", "again", "please", "called", "s"}
)
_CALLED: Final = re.compile(r"(?:.*\b(?:name is|i am|i['\u2019]m|call me)\s+)?(\w{1,40})\W*$", re.IGNORECASE)


@frozen
class Wish:
    """A call of one of the tools, and the rest of the message, which asks for something else or is empty."""

    planned: Planned
    rest: str = ""


def wish(text: str, tools: Sequence[ToolCard]) -> Wish | None:
    """Return the call that the beginning of a message wishes; None if it wishes none, or the tool is not there."""
    text = text[:MAX_TEXT] if len(text) <= MAX_TEXT else ""
    if (look := _LOOK.match(text)) and not (said := look["what"].strip(" ?!.")).startswith("that "):
        about = [each for each in scan.words(said) if each not in _MINE | _LITTLE | _NOTHING]
        return _wish(tools, "search_memory", {"query": " ".join(about)} if about else {}, " ".join(about))
    if keep := _REMEMBER.match(text):
        fact, rest = _cut(keep["what"], text[keep.end() :])
        asks = keep["what"][len(fact) :].startswith("?") and " you " not in keep[0][: keep.start("verb")]
        if not asks and fact.lower() not in _NOTHING and len(fact) <= MAX_FACT:
            return _wish(tools, "remember", {"fact": fact}, fact, rest)
    if drop := _FORGET.match(text):
        what, rest = _cut(drop["what"], text[drop.end() :])
        if _ALL.match(what):
            return _wish(tools, "forget", {"everything": True}, "everything", rest)
        if what.lower() not in _NOTHING and len(what) <= MAX_FACT:
            return _wish(tools, "forget", {"what": what}, what, rest)
    return None


def _cut(line: str, below: str) -> tuple[str, str]:
    """Return the first sentence of a line without its end, and all that follows."""
    end = _END.search(line)
    if end is None:
        return line.rstrip(), below.strip()
    return line[: end.start()].rstrip(), f"{line[end.end() :]}{below}".strip()


def _wish(
    tools: Sequence[ToolCard], name: str, arguments: Mapping[str, Any], about: str, rest: str = ""
) -> Wish | None:
    card = next((each for each in tools if each.name == name), None)
    return None if card is None else Wish(Planned(card, arguments, about[:80]), rest)


def remembered(notes: Sequence[NoteItem]) -> dict[str, Any]:
    """Return the values that the notes of a turn say are remembered of the user."""
    for note in notes:
        lead, _, fence = note.content.partition("\n")
        if lead.startswith("Remembered of this user"):
            try:
                value = msgspec.json.decode(unfenced(fence))
            except msgspec.DecodeError:
                return {}
            return value if isinstance(value, dict) else {}
    return {}


def told(question: str, known: Mapping[str, Any]) -> str | None:
    """Return the sentence that answers a question about the user by a remembered value; None if none has its words."""
    tokens = set(scan.words(question[:500]))
    if not known or not _ASKING & tokens or not _MINE & tokens:
        return None
    asked = {scan.stem(each) for each in tokens - _ASKING - _MINE - _LITTLE}
    for name, value in known.items() if asked else ():
        has = {scan.stem(each) for each in scan.words(f"{name} {plain(value)}".replace("_", " "))}
        if asked <= has:
            said = plain(value)
            return f"I remember: “{said}”." if " " in said else f"I remember {name.replace('_', ' ')}: {said}."
    return None


def called(known: Mapping[str, Any]) -> str:
    """Return the user's name, if it is remembered; else an empty text."""
    value = known.get("name", known.get("first_name"))
    found = _CALLED.match(value) if isinstance(value, str) and len(value) <= 80 else None
    return "" if found is None else found[1]
