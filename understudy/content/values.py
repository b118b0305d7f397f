"""A value as JSON says it, with every text in it sanitized: results of tools, and the arguments of their calls."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any, Final

from attrs import define, evolve, field

from sanitization import Action, Category, Finding, Sanitized, Sanitizer
from understudy.content.summary import is_unread
from understudy.content.texts import weigh_text

NUMBER_FROM: Final = 10**8
"""Whole numbers from here on are looked at as text: cards and accounts come as numbers too."""
DEEPEST: Final = 100
"""What is nested deeper is left out. Results of tools are nested 64 deep at most."""
TOO_DEEP: Final = "[left out: nested too deeply]"
FINDINGS: Final = 1_000
"""Findings of one value that are kept."""

_DRAWN: Final = re.compile(r">([^<>]{1,10000})<|\b(?:aria-label|title)=\"([^\"<>]{1,10000})\"")


@define
class SanitizedValue:
    """A value with what must not pass taken out, and the account of it.

    Places of `findings` are those in the text that each was found in. `texts` are the accounts, text by text.
    """

    value: Any = field(repr=False)
    texts: list[Sanitized] = field(factory=list, repr=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found, up to a bound."""
        return tuple(each for text in self.texts for each in text.findings)[:FINDINGS]

    @property
    def omitted(self) -> int:
        """How much more was found."""
        return sum(len(text.findings) + text.omitted for text in self.texts) - len(self.findings)

    @property
    def blocked(self) -> bool:
        """Whether nothing of it may pass."""
        return any(text.blocked for text in self.texts)


class _TooDeep(Exception):
    pass


def sanitize_value(value: Any, sanitizer: Sanitizer) -> SanitizedValue:
    """Scrub every text of a plain JSON value, names of members too. Takes long for a large one: not for the loop.

    First all texts are looked at together, since mostly nothing is found. A member stands behind its name there and in
    what is looked at afterwards: `{"password": "…"}` is a password.
    """
    try:
        together = "\n".join(_lines(value))
        found = sanitizer.sanitize(together)
        if _is_clean(found):
            return SanitizedValue(value)
        if _only_people(found):
            return SanitizedValue(value, [found])  # counted and told to nobody, so nobody misses the places
    except _TooDeep:
        pass
    walk = _Walk(sanitizer)
    return SanitizedValue(walk.value(value), walk.texts)


def chart_words(chart: Mapping[str, Any]) -> dict[str, Any]:
    """What can be read of a chart: the words of its drawing, and all of its specification but where that is defined."""
    svg, spec = chart.get("svg"), chart.get("spec")
    drawn = [unescape("".join(found)) for found in _DRAWN.findall(svg)] if isinstance(svg, str) else []
    told = {name: each for name, each in spec.items() if name != "$schema"} if isinstance(spec, Mapping) else spec
    return {"title": chart.get("title"), "spec": told, "drawn": drawn}


def _is_clean(found: Sanitized) -> bool:
    return not (found.findings or found.omitted or found.blocked or found.failures)


def weigh_value(value: Any) -> int:
    """How long it may take to look through a plain JSON value, in characters of ASCII."""
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
    """Whether all that was found is personal data that stays: tables are full of it, and seldom of anything else."""
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
    """The text that a scalar is looked at as, None when there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= NUMBER_FROM:
        return str(value)
    return None


def _named(name: str, text: str) -> str:
    return f"{name}: {text}" if name else text


@define
class _Walk:
    """One pass over a value; `texts` are the accounts of the texts in which something was found."""

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
            while name in done:  # two names that hid different things
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
    """The account of a text that stood behind its name."""
    moved = tuple(evolve(each, start=each.start - by, end=each.end - by) for each in found.findings)
    return evolve(found, text=found.text[by:], findings=moved)
