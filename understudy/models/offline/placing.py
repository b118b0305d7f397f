"""Finds the words and numbers of a request that have no part in a call planned for it: such a call answers another
question, so it is not made."""

import re
from collections.abc import Mapping
from typing import Any, Final

from understudy.models.model import ToolCard
from understudy.models.offline import scan
from understudy.models.offline.arithmetic import SPOKEN
from understudy.models.offline.filling import SPAN
from understudy.models.offline.fitting import ASIDE, features, phrased, stems
from understudy.models.offline.request import Request, plain_schema

# Formats of arguments whose meaning every word of a request may change.
_EXACT: Final = frozenset({"expression", "cash-flows", "table-id"})
_REFUSAL: Final = re.compile(r"(?i)\W*(?:(?:please|bitte|no)\b\W*)*(do not|don['\u2019]?t|never)\b")
_ACT: Final = re.compile(
    rf"(?i){scan.LEAD}"
    r"(book|buy|cancel|compose|delete|deploy|draft|drop|email|fix|install|kill|pay|reboot|recommend|repair|restart|send|"
    r"shut|start|stop|translate|uninstall|update|upgrade|write)\b"
)
"""Requests to do something in the world, which no tool does that has not the word in its name."""
_TEXTS: Final = frozenset({"text", "first-text", "second-text", "file-id", "question"})
_LIST_WORDS: Final = frozenset(
    scan.words(
        "annual annually assumption assumptions at back best better bring brings cash cost costs disappoint "
        "discount each earn flow flows get how if interest internal invest is it its month months more net "
        "now of offer option options out pay per period periods plan plans present profitable project "
        "projects quarter rate receive return returns risky robust sensitive test to today turn turns value "
        "variant when worse worth year yearly years"
    )
)
_TOPICS: Final = frozenset(
    map(
        scan.stem,
        scan.words(
            "50th 95th 99th after again agent ago alive answer anything api app application available average "
            "backend bad been before begin between big breaker broken bug cache calls cause change chat "
            "circuit client cluster code commit common component condition connection conversation count cpu "
            "critical currently customer database day db detail disk download drop during endpoint ever "
            "everything exception explain feel felt file fine frequent friday get going good grow half hang "
            "happen high higher hold hour http increase info inspect internet issue keep kind lag large last "
            "lately leak least list log login longest low lower machine many message millisecond minute model "
            "moment monday month morning most ms much near network night node normal offline often ok okay "
            "online open other overview page past peak people percentile performing person platform postgres "
            "postgresql problem process processor quarter queries quickly rate reachable read reason recent "
            "redis report request respond response retry rise run running saturday second seeing serious "
            "server service severe since site slow small socket something spike sql sqlite start state status "
            "still storage store stress summary sunday system think thread thursday time timeout today tonight "
            "tool top traffic trouble tuesday type typical under until upload users usual very web website "
            "websocket wednesday week weekend well why work worker worse worst write year yesterday yet"
        ),
    )
)
"""Words of questions about a server that need no part in the call of a tool without arguments."""
_TABLE_WORDS: Final = frozenset(
    map(
        scan.stem,
        scan.words(
            "anything are attached both by column columns csv data dataset declining develop figures file files "
            "going growing is it look looks matters month numbers on over rows sample share sheet something "
            "spreadsheet table tables these they time two value values was well year"
        ),
    )
)


def unplaced(card: ToolCard, arguments: Mapping[str, Any], clause: str, request: Request) -> tuple[str, ...]:
    """Return the words of a clause, and the numbers, that have no part in a call of a tool with these arguments.

    Of tools that calculate or work on tables every word counts, of others every number, and of tools for texts nothing,
    as their text may say anything. What the clause says not to do has no part in any call.
    """
    if refusal := _REFUSAL.match(clause):
        return (refusal[1],)
    known = features(card)
    named = map(scan.stem, scan.words(card.name.replace("_", " ")))
    act = None if request.look(scan.sql, request.near) else _ACT.match(clause)
    if act is not None and scan.stem(act[1].lower()) not in named:
        return (act[1],)
    shapes = card.parameters.get("properties", {})
    formats = {plain_schema(shapes[name]).get("format", "") for name in arguments if name in shapes}
    if known.formats & _TEXTS:
        return ()
    said = _said(arguments)
    planned = "cash-flows" in formats and bool(request.look(scan.plans, request.near))
    if planned:
        clause = scan.without_plans(clause)
    spans = [int(each[1]) for each in SPAN.finditer(clause)] if "minutes" in arguments else []
    found = [*request.look(scan.numbers, clause)]
    if request.asks_last and "table-id" not in known.formats:
        found += request.look(scan.numbers, scan.window(request.body))
    given = [-each for each in found if "cash-flows" in formats and _is_given(-each, arguments)]  # an outlay
    numbers = [each for each in found if each not in spans and -each not in given and not _is_given(each, arguments)]
    left = [f"{each:g}" for each in numbers]
    if not arguments:
        asked = request.look(stems, clause)
        placed = known.name | known.words | _TOPICS
        words = [each for each in scan.words(clause) if each not in ASIDE and len(each) > 1 and not each.isdigit()]
        left += [each for each in words if not ({scan.stem(each)} | stems(each) | phrased(each, asked)) & placed]
        left += [] if request.asks_last or not request.has_body else [request.body]
        return tuple(dict.fromkeys(left))
    if not formats & _EXACT or planned:
        return tuple(left)
    allowed = said | (_LIST_WORDS if "cash-flows" in formats else SPOKEN)
    table = "table-id" in formats
    files = {word for each in request.files for word in scan.words(each.name)} if table else set()
    fitting = known.name | known.words
    for word in scan.words(clause):
        if word in ASIDE or word in allowed or word in files or word[:1].isdigit() or len(word) < 2:
            continue
        if table and scan.stem(word) in _TABLE_WORDS:
            continue
        if "expression" not in formats and stems(word) & fitting:
            continue
        left.append(word)
    return tuple(dict.fromkeys(left))


def _said(arguments: Mapping[str, Any]) -> set[str]:
    """Return the words of all arguments."""
    found: set[str] = set()
    for value in arguments.values():
        for each in (
            [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        ):
            if isinstance(each, str):
                words = scan.words(each.replace("_", " "))
                found |= {*words, *(word + "s" for word in words), *(word.removesuffix("s") for word in words)}
    return found


def _is_given(number: float, arguments: Mapping[str, Any]) -> bool:
    """Whether a number is an argument, also as a share of one, in a list or in an expression."""
    for value in arguments.values():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float) and any(abs(value - each) < 1e-9 for each in (number, number / 100)):
            return True
        if isinstance(value, str) and number in scan.numbers(
            value.replace("*", " * ").replace("(", " ").replace("%", " % ")
        ):
            return True
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        if any(_is_given(number, {"": each}) for each in parts):
            return True
    return False


def is_question_tool(card: ToolCard) -> bool:
    """Whether a tool answers questions about a table, in the words of the user."""
    return {"question", "table-id"} <= features(card).formats


def is_covered(card: ToolCard) -> bool:
    """Whether a tool does nothing for a request in words that one for questions about tables does not: it takes SQL, or
    a column and how to sum it up."""
    known = features(card)
    required = card.parameters.get("required", ())
    shapes = {name: plain_schema(each) for name, each in card.parameters.get("properties", {}).items()}
    column = any(shapes[name].get("format") == "column" for name in required if name in shapes)
    return "table-id" in known.formats and ("sql" in known.formats or (column and "aggregate" in known.formats))
