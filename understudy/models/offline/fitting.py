"""Scores a tool for a clause of a request by shared words, and by material in the request that the tool needs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import frozen

from understudy.models.model import ToolCard
from understudy.models.offline import arithmetic, scan
from understudy.models.offline.filling import MAX_PAIR, two_texts
from understudy.models.offline.request import Source, plain_schema

# The score from which a tool counts as meant. One shared distinctive word of a description (1) is not enough, one of
# its name (3) is, and so is arithmetic for a tool that takes an expression (2 to 4).
MEANT: Final = 2.0

_NAME: Final = 3.0
_DESCRIPTION: Final = 1.0
_MOST_BY_DESCRIPTION: Final = 2.0
_GENERIC_WEIGHT: Final = 0.3

_SAME: Final[Mapping[str, str]] = {
    "chart": "plot graph draw visualise visualisation visualize visualization diagram histogram",
    "profile": "describe overview explore inspect statistics stats profiling",
    "query": "sql select",
    "calculate": "compute evaluate calculation calculator arithmetic math maths",
    "summarise": "summary summaries shorten shorter brief tldr condense gist",
    "sanitise": "clean redact scrub anonymise mask censor cleanse secret secrets confidential personal",
    "health": "healthy status uptime unhealthy breaker stress load overload memory ram busy",
    "supervision": "actor actors supervisor supervisors supervised",
    "compare": "comparison versus better difference differ changed diff",
    "scenario": "npv irr payback investment investments",
    "look": "lookup",
    "table": "spreadsheet excel sheet dataset",
    "length": "long",
    "analyse": "analysis analytics insight examine investigate review assess study understand audit diagnose",
    "performance": "fast speed quick latency percentile p50 p95 p99 sluggish lag efficiency efficient bottleneck "
    "throughput optimise tune forever",
    "server": "app application backend system service platform code site website",
    "slow": "slowest longest slowness",
    "error": "failure fail failed failing fault problem wrong",
    "restart": "crash crashes crashed killed died incident unstable",
    "open": "silent stuck hanging hang idle blocked backlog queue queued waiting pending connected connection",
    "reduce": "cut lower save saving shrink trim decrease cheaper economise",
    "cost": "spend spending expense expenditure budget money overhead",
    "sensitivity": "sensitive assumption robust risk risky worse worst uncertain uncertainty",
    "trend": "develop development grow growth decline evolution evolve trajectory seasonality",
    "group": "breakdown segment split",
    "outlier": "unusual odd anomaly anomalies anomalous suspicious extreme strange weird abnormal",
    "join": "combine merge match",
    "drill": "behind details",
    "outline": "structure heading section toc",
    "extract": "pull find collect mentioned mentions",
    "even": "breakeven",
}
_STOP: Final = frozenset(
    scan.words(
        "a about all an and any are as at be but by can could did do does each every for from give had has have how i "
        "if in into is it its just let may me my of on one or our out please shall should show so some tell than that "
        "the their them then there these they this those to up us use using want was we were what when where which who "
        "will with without would you your"
    )
)
ASIDE: Final = _STOP | frozenset(
    scan.words(
        "please thanks thank hello hi hey now right also then just only kindly here like need needs know say see look "
        "display find getting looking s t ll re ve d m"
    )
)
"""Words that change no request."""
_GENERIC: Final = frozenset(
    map(
        scan.stem,
        scan.words(
            "table file data text tool attached attach get set run make new find take server break down last content"
        ),
    )
)
# Words that ask of two tables for what has no partner.
_UNMATCHED: Final = frozenset({"without", "unmatched", "missing", "partner", "both"})
_COMPUTING: Final = frozenset(scan.words("calculate compute evaluate what much work out is equals result solve"))


ANALYSING: Final = scan.stem("analyse")
"""The stem of requests to analyse something, which go to the nearest tool if none clearly fits."""

# Pairs of words that have a meaning only together: how is the server doing, test the agent's execution.
_PHRASES: Final = (
    (
        frozenset(map(scan.stem, ("server", "system", "service"))),
        frozenset(map(scan.stem, ("doing", "running", "fine", "ok", "okay", "down", "alive", "well", "long"))),
        scan.stem("health"),
    ),
    (
        frozenset(map(scan.stem, ("agent", "agents", "server", "system", "service", "connection"))),
        frozenset(map(scan.stem, ("test", "testing", "check", "execution", "works", "working"))),
        scan.stem("health"),
    ),
    (
        frozenset(map(scan.stem, ("most", "longest", "forever"))),
        frozenset(map(scan.stem, ("time", "take", "takes", "took", "need"))),
        scan.stem("slow"),
    ),
    (
        frozenset(map(scan.stem, ("long", "much"))),
        frozenset(map(scan.stem, ("take", "takes", "took", "need"))),
        scan.stem("performance"),
    ),
    (frozenset({scan.stem("money")}), frozenset({scan.stem("back")}), scan.stem("scenario")),
    (
        frozenset(map(scan.stem, ("time", "months", "years", "weeks"))),
        frozenset(map(scan.stem, ("better", "worse", "getting", "improving", "change", "changing", "over"))),
        scan.stem("trend"),
    ),
    (
        frozenset(map(scan.stem, ("worth", "should", "invest", "investing"))),
        frozenset(map(scan.stem, ("invest", "investing", "buy", "buying", "pay", "paying", "machine"))),
        scan.stem("scenario"),
    ),
    (frozenset({scan.stem("break")}), frozenset({scan.stem("down")}), scan.stem("group")),
    (frozenset({scan.stem("table")}), frozenset({scan.stem("contents")}), scan.stem("outline")),
    (frozenset({scan.stem("stands")}), frozenset(map(scan.stem, ("what", "table", "file", "data"))), ANALYSING),
)


_MEANS: Final = {scan.stem(word): scan.stem(meant) for meant, some in _SAME.items() for word in some.split()}


@frozen
class Features:
    """The features of a tool: stems of its name and of its other words, and its formats."""

    name: frozenset[str]
    words: frozenset[str]
    formats: frozenset[str]


def stems(text: str) -> frozenset[str]:
    """Return the distinctive words of a text as stems, each also as its synonym."""
    said = (each for each in scan.words(text) if each not in _STOP and (len(each) > 1 or each.isdigit()))
    found = {scan.stem(each) for each in said if each != "not"}  # which is no note
    found |= {_MEANS[each] for each in found if each in _MEANS}
    for subjects, states, meant in _PHRASES:
        if subjects & found and states & found:
            found.add(meant)
    if {"sum", "up"} <= set(scan.words(text)):
        found.add(scan.stem("summarise"))
    if "what if" in text.lower() or "what happens if" in text.lower():
        found.add(scan.stem("sensitivity"))
    return frozenset(found)


def phrased(word: str, said: frozenset[str]) -> frozenset[str]:
    """Return what a word means together with another of a text, whose stems are `said`: health, of doing in “how is the
    server doing”."""
    one = scan.stem(word)
    return frozenset(
        meant for one_of, other, meant in _PHRASES if one in one_of | other and one_of & said and other & said
    )


def matched(card: ToolCard, clause: str) -> tuple[str, ...]:
    """Return the words of a clause that fit a tool's name or description, in order, each once."""
    known = features(card)
    fitting = known.name | known.words
    return tuple(dict.fromkeys(each for each in scan.words(clause) if stems(each) & fitting))


@frozen
class _Known:
    """What is known of a tool's card: its features, and the plain schemas of its parameters."""

    card: ToolCard
    features: Features
    shapes: Mapping[str, Mapping[str, Any]]


_KNOWN: Final[dict[int, _Known]] = {}
"""By the id of the schema, which a tool has for good while its cards are made for each run."""
_MOST_KNOWN: Final = 512


def _look_up(card: ToolCard) -> _Known:
    known = _KNOWN.get(id(card.parameters))
    if known is None or known.card.parameters is not card.parameters or known.card.name != card.name:
        shapes = {name: plain_schema(each) for name, each in card.parameters.get("properties", {}).items()}
        formats = frozenset(str(each.get("format", "")) for each in shapes.values())
        choices = " ".join(str(v) for each in shapes.values() for v in each.get("enum", ()))
        found = _features(card.name, card.description[:400], " ".join(shapes), choices, formats)
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[id(card.parameters)] = _Known(card, found, shapes)
    return known


def features(card: ToolCard) -> Features:
    """Return a tool's features; those of recent tools are cached."""
    return _look_up(card).features


@lru_cache(maxsize=512)
def _features(name: str, description: str, parameters: str, choices: str, formats: frozenset[str]) -> Features:
    of_name = stems(name.replace("_", " "))
    words = stems(f"{description} {parameters} {choices}".replace("_", " ")) - of_name
    return Features(of_name, words, formats)


@frozen
class ToolPool:
    """All available tools, to weigh words by their frequency: a word in three names counts a third."""

    in_names: Mapping[str, int]
    in_words: Mapping[str, int]

    @classmethod
    def of(cls, cards: Iterable[ToolCard]) -> "ToolPool":
        """Return the pool of these tools; a tool of several agents counts once."""
        known = [features(each) for each in {card.name: card for card in cards}.values()]
        in_names, in_words = (
            Counter(w for each in known for w in each.name),
            Counter(w for each in known for w in each.words),
        )
        return cls(in_names, in_words)


def fit(card: ToolCard, source: Source, pool: ToolPool) -> float:
    """Return a tool's score for a clause: 0 is no match, `MEANT` and above a clear one."""
    asked = source.request.look(stems, source.clause)
    if source.request.look(scan.plans, source.request.near):
        asked |= {scan.stem("scenario")}
    known = features(card)
    by_name = sum(_weight(each, _NAME / pool.in_names.get(each, 1)) for each in asked & known.name)
    by_words = sum(_weight(each, _DESCRIPTION / pool.in_words.get(each, 1)) for each in asked & known.words)
    if "_" in card.name and card.name.lower() in source.request.look(str.lower, source.clause):
        by_name += _NAME
    if "text" in known.formats and by_words > 0 and source.request.has_text:
        by_words += 1.0
    score = by_name + min(by_words, _MOST_BY_DESCRIPTION) + _by_material(known.formats, source, by_name + by_words)
    score += _by_optional(card, source, by_name, by_words) + _by_joining(card, source)
    return score + (_by_names(card, source, asked) if by_name + by_words > 0 else 0.0)


def _weight(word: str, full: float) -> float:
    return min(full, _GENERIC_WEIGHT) if word in _GENERIC else full


def _by_material(formats: frozenset[str], source: Source, by_words: float) -> float:
    """Return the score for material in the request that a parameter's format asks for."""
    score, look, words = 0.0, source.request.look, set(source.request.look(scan.words, source.clause))
    if "expression" in formats and look(arithmetic.expressions, source.clause):
        numerals = {each for each in words if each[0].isdigit()}
        score += 4.0 * look(arithmetic.is_worded, source.clause)
        score += (2.0 if words - _COMPUTING - numerals else 4.0) + 2.0 * bool(_COMPUTING & words - {"is", "out"})
    if "sql" in formats and look(scan.sql, source.clause):
        score += 6.0
    if "cash-flows" in formats and look(scan.plans, source.request.near):
        score += 4.0
    elif "first-text" in formats and by_words > 0 and look(two_texts, source.request.material[:MAX_PAIR]):
        score += 1.0
    elif "cash-flows" in formats and by_words > 0 and look(scan.cash_flows, source.request.near):
        score += 2.0
    return score


def _by_optional(card: ToolCard, source: Source, by_name: float, by_words: float) -> float:
    """Return the score for material that makes a tool likelier but is not enough by itself: amounts, a condition, named
    choices, an attached table or its columns."""
    look, score = source.request.look, 0.0
    said = look(stems, source.request.instruction)
    for name, shape in _look_up(card).shapes.items():
        match shape.get("format"):
            case "amounts" if by_name > 0 and look(scan.amounts, source.request.near):
                score += 1.0
            case "selection" if source.tables:
                needed = name in card.parameters.get("required", ())
                if look(scan.selections, source.clause):
                    score += 3.0 if needed else 1.0
            case "choices":
                choices = plain_schema(shape.get("items", {})).get("enum", ())
                score += min(1.5, sum(0.75 for each in choices if scan.stem(str(each)) in said))
            case "table-id" if name == "file_id" and source.tables and by_name + by_words >= 1:
                score += 1.0
    return score


def _by_joining(card: ToolCard, source: Source) -> float:
    """Return the score of a tool that joins tables for a request that wants what has no partner."""
    formats = features(card).formats
    unmatched = _UNMATCHED & set(source.request.look(scan.words, source.clause))
    return 4.0 if "grouping" in formats and len(source.tables) > 1 and unmatched else 0.0


def _by_names(card: ToolCard, source: Source, asked: frozenset[str]) -> float:
    """Return 1 if the request names something the tool needs (an identifier, a quotation, a place, a number), and 2 if
    also its noun: the order in "order A-17", for a parameter called order_id."""
    properties: Mapping[str, Mapping[str, Any]] = card.parameters.get("properties", {})
    clause, look = source.clause, source.request.look
    capital = any(each[:1].isupper() for each in clause.split()[1:])
    named = capital or bool(look(scan.names, clause) or look(scan.quoted, clause))
    counted = bool(look(scan.numbers, clause))
    score = 0.0
    for name in card.parameters.get("required", ()):
        shape = plain_schema(properties.get(name, {}))
        kind = shape.get("type")
        if shape.get("format", "identifier") != "identifier":
            continue
        if (kind == "string" and (named or counted)) or (kind in ("integer", "number") and counted):
            said = stems(name.replace("_", " ")) - {"id"} & asked
            score = max(score, 2.0 if said else 1.0 if named or kind != "string" else 0.0)
    return score


def best(cards: Sequence[ToolCard], source: Source, pool: ToolPool) -> tuple[ToolCard | None, float]:
    """Return the tool with the highest score, the earlier one of equals, and its score."""
    scored = [(each, fit(each, source, pool)) for each in cards]
    return max(scored, key=lambda each: each[1], default=(None, 0.0))
