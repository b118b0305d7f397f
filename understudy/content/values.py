"""Filters every text in a JSON value: results of tools, and the arguments of their calls."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any, Final

from attrs import define, evolve, field

from sanitization import Action, Category, Finding, Sanitized, Sanitizer
from understudy.content.summary import is_unread
from understudy.content.texts import weigh_text

NUMBER_FROM: Final = 10**8
"""Integers from here on are scanned as text: card and account numbers come as numbers too."""
DEEPEST: Final = 100
"""Depth beyond which values are left out. Results of tools are nested at most 64 deep."""
TOO_DEEP: Final = "[left out: nested too deeply]"
FINDINGS: Final = 1_000
"""Findings of one value that are kept; the rest are counted."""

_DRAWN: Final = re.compile(r">([^<>]{1,10000})<|\b(?:aria-label|title)=\"([^\"<>]{1,10000})\"")


@define
class SanitizedValue:
    """A sanitized value and its findings.

    Places of `findings` are those in the text that each was found in. `texts` are the results, text by text.
    """

    value: Any = field(repr=False)
    texts: list[Sanitized] = field(factory=list, repr=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, up to `FINDINGS`."""
        return tuple(each for text in self.texts for each in text.findings)[:FINDINGS]

    @property
    def omitted(self) -> int:
        """Number of findings beyond those listed."""
        return sum(len(text.findings) + text.omitted for text in self.texts) - len(self.findings)

    @property
    def blocked(self) -> bool:
        """Whether nothing of it may pass."""
        return any(text.blocked for text in self.texts)


class _TooDeep(Exception):
    pass


def sanitize_value(value: Any, sanitizer: Sanitizer) -> SanitizedValue:
    """Sanitize every text of a plain JSON value, including keys. Takes long for a large value: not in the event loop.

    All texts are first scanned together, since mostly nothing is found. Each value stands behind its key, here and in
    later scans: `{"password": "…"}` is a password.
    """
    try:
        together = "\n".join(_lines(value))
        found = sanitizer.sanitize(together)
        if _is_clean(found):
            return SanitizedValue(value)
        if _only_people(found):
            return SanitizedValue(value, [found])  # only counted, never reported: the places are not needed
    except _TooDeep:
        pass
    walk = _Walk(sanitizer)
    return SanitizedValue(walk.value(value), walk.texts)


def chart_words(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return the visible words of a chart: those of its drawing, and its specification but for the schema's address."""
    svg, spec = chart.get("svg"), chart.get("spec")
    drawn = [unescape("".join(found)) for found in _DRAWN.findall(svg)] if isinstance(svg, str) else []
    shown_spec = {name: each for name, each in spec.items() if name != "$schema"} if isinstance(spec, Mapping) else spec
    return {"title": chart.get("title"), "spec": shown_spec, "drawn": drawn}


def _is_clean(found: Sanitized) -> bool:
    return not (found.findings or found.omitted or found.blocked or found.failures)


def weigh_value(value: Any) -> int:
    """Estimate the cost of filtering a plain JSON value, in ASCII characters."""
    count, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            count += weigh_text(each)
        elif isinstance(each, Mapping):
            count += sum(map(weigh_text, each)) + 2 * len(each)
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            count += len(each)
            waiting.extend(each)
    return count


def _only_people(found: Sanitized) -> bool:
    """Return whether all findings are flagged personal data: tables are full of it, and seldom have anything else."""
    people = all(
        each.category is Category.PII and each.action is Action.FLAG and not is_unread(each) for each in found.findings
    )
    return people and not (found.omitted or found.blocked or found.failures)


def _lines(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    if depth > DEEPEST:
        raise _TooDeep
    if isinstance(value, Mapping):
        for key, member in value.items():
            if isinstance(member, Mapping | list | tuple):
                yield key
            yield from _lines(member, key, depth + 1)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _lines(member, name, depth + 1)
    else:
        text = _text(value)
        if text or name:
            yield _named(name, text or "")


def _text(value: Any) -> str | None:
    """Return the text that a scalar is scanned as, or None."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= NUMBER_FROM:
        return str(value)
    return None


def _named(name: str, text: str) -> str:
    return f"{name}: {text}" if name else text


@define
class _Walk:
    """One pass over a value; `texts` are the results of the texts with findings."""

    sanitizer: Sanitizer
    texts: list[Sanitized] = field(factory=list, init=False)

    def value(self, value: Any, name: str = "", depth: int = 0) -> Any:
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return self._members(value, depth)
        if isinstance(value, list | tuple):
            return [self.value(each, name, depth + 1) for each in value]
        text = _text(value)
        if not text:
            return value
        clean = self._text(text, name)
        return value if clean == text else clean

    def _members(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        done: dict[str, Any] = {}
        for key, member in value.items():
            clean = name = self._text(key)
            number = 2
            while name in done:  # two keys that are equal once redacted
                name, number = f"{clean} ({number})", number + 1
            done[name] = self.value(member, clean, depth + 1)
        return done

    def _text(self, text: str, name: str = "") -> str:
        if name:
            before = len(name) + 2
            found = self.sanitizer.sanitize(_named(name, text))
            if found.findings and all(each.start >= before for each in found.findings) and not found.blocked:
                self.texts.append(_moved(found, before))
                return found.text[before:]
            if _is_clean(found):
                return text
        found = self.sanitizer.sanitize(text)
        if not _is_clean(found):
            self.texts.append(found)
        return found.text


def _moved(found: Sanitized, by: int) -> Sanitized:
    """Shift the findings of a text that stood behind its key."""
    moved = tuple(evolve(each, start=each.start - by, end=each.end - by) for each in found.findings)
    return evolve(found, text=found.text[by:], findings=moved)
