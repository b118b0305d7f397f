"""Reads messages that mean something said before: "and by product?", "what if the price drops by 10 %?", "chart that".

They run the last call again with what they change, or take from it what they leave out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from understudy.models.model import ToolCard
from understudy.models.offline import scan
from understudy.models.offline.filling import fill
from understudy.models.offline.request import MISSING, Request, Source, plain_schema

_UP: Final = frozenset(map(scan.stem, scan.words("rise rises increase higher more grow grows raised up dearer climbs")))
_DOWN: Final = frozenset(
    map(scan.stem, scan.words("drop drops fall falls lower less decrease cheaper down cut shrinks"))
)
# Parameters of tools for tables that mean the same.
_ALIKE: Final = (("measure", "y", "value"), ("by", "x", "group"))
_SET: Final = r"\w*(?:\W{1,3}(?:is|are|was|were|be|to|at|of|about|drops|rises|falls)\b){0,4}\W{1,3}[€$£]?\s?"


def changed(request: Request, tools: Sequence[ToolCard]) -> tuple[ToolCard, Mapping[str, Any], bool] | None:
    """Return the last call with the arguments that a message changes, and whether it names one of them; None if it
    changes none."""
    cards = {each.name: each for each in tools}
    last = next((each for each in reversed(request.earlier) if each.ok), None)
    if last is None or last.tool not in cards:
        return None
    card = cards[last.tool]
    found = {}
    for name, schema in card.parameters.get("properties", {}).items():
        value = _change(name, schema, last.arguments.get(name), request)
        if value is not MISSING and value != last.arguments.get(name):
            found[name] = value
    said = {scan.stem(each) for each in scan.words(request.text[:500])}
    named = any({scan.stem(each) for each in scan.words(name.replace("_", " "))} & said for name in found)
    return (card, {**last.arguments, **found}, named) if found else None


def _change(name: str, schema: Mapping[str, Any], old: Any, request: Request) -> Any:
    shape, text = plain_schema(schema), request.text[:500]
    if shape.get("format") in ("file-id", "table-id", "text", "sql", "cash-flows", "amounts"):
        return MISSING
    said = {scan.stem(each) for each in scan.words(text)}
    parts = [each for each in scan.words(name.replace("_", " ")) if len(each) > 2]
    if shape.get("type") in ("integer", "number"):
        named = bool({scan.stem(each) for each in parts} & said)
        shares = scan.percentages(text)
        if shares and named and isinstance(old, int | float) and said & (_UP | _DOWN) and " to " not in text:
            return round(old * (1 + (shares[0] if said & _UP else -shares[0]) / 100), 6)
        if shares and not named and (said & (_UP | _DOWN) or shape.get("format") != "percentage"):
            return MISSING
        for part in parts:
            near = re.search(rf"\b{re.escape(part)}{_SET}(-?\d[\d,]*(?:\.\d+)?)", text, re.IGNORECASE)
            if near:
                value = scan.numbers(near[1])
                return value[0] if value else MISSING
    alone = Source(text, evolve(request, text=text, instruction=text, body=text), alone=True)
    return fill(name, schema, alone, required=False)


def inherited(name: str, shape: Mapping[str, Any], request: Request, *, required: bool) -> Any:
    """Return the argument that the latest call with a parameter of that name had, or `MISSING`.

    Columns are also known by their part: the y of a chart is the measure of a group. Of optional arguments only those
    that say what of a table is meant, and rates, are taken.
    """
    if not required and shape.get("format") not in ("column", "aggregate", "selection", "percentage"):
        return MISSING
    if shape.get("format") in ("identifier", "expression"):
        return MISSING
    names = next((each for each in _ALIKE if name in each), (name,))
    for result in request.earlier[-1:]:
        if result.ok and (key := next((each for each in names if each in result.arguments), None)) is not None:
            return result.arguments[key]
    return MISSING
