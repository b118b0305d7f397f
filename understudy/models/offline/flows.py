"""Finds named lists of numbers in a text: ``Build: -1000, 400, 500; Buy: -700, 300``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from understudy.models.offline import scan

_PIECE: Final = re.compile(r"[;\n]|\s(?:and|vs\.?|versus|or)\s|\.\s")
_ASKING: Final = frozenset({"compare", "scenario", "scenarios", "evaluate", "calculate", "which", "what", "flows"})
_RATE: Final = re.compile(r"(?:at|with|using)?\s?(?:an?\s)?(?:discount\srate\sof\s)?\d{1,9}(?:\.\d{1,9})?\s?%")


def cash_flows(text: str) -> list[tuple[str, list[float]]]:
    """Return the lists of at least two numbers, each with the name before its colon (or "Scenario 1", …), in order."""
    found: list[tuple[str, list[float]]] = []
    for piece in _PIECE.split(_RATE.sub(" ", text)):
        *lead, values = re.split(r"[:=]\s", piece)
        figures = scan.numbers(values)
        if len(figures) >= 2:
            name = _name(lead[-1]) if lead else _name(values)
            found.append((name or f"Scenario {len(found) + 1}", figures))
    return found


def shaped(found: Sequence[tuple[str, list[float]]], schema: Mapping[str, Any]) -> Any:
    """Return the lists shaped by a schema: objects with a name, lists of lists, an object of lists, or the first."""
    if schema.get("type") == "object":
        return dict(found)
    items = schema.get("items", {})
    if items.get("type") == "array":
        return [values for _, values in found]
    if items.get("type") == "object":
        members = items.get("properties", {})
        name = next((key for key, each in members.items() if each.get("type") == "string"), None)
        values = next((key for key, each in members.items() if each.get("type") == "array"), None)
        return [{k: v for k, v in ((name, title), (values, numbers)) if k is not None} for title, numbers in found]
    return list(found[0][1])


def _name(lead: str) -> str:
    """Return the name before the numbers; empty if it does not look like one, such as "Compare scenarios"."""
    words = re.split(r"[,:.]\s", re.split(r"[-+\u2212]?\d", lead.strip(), maxsplit=1)[0].strip(" ,:="))[-1].split()
    if len(words) > 3:
        words = words[-1:]
    named = bool(words) and words[0][:1].isupper() and not _ASKING & {each.lower() for each in words}
    return " ".join(words) if named else ""
