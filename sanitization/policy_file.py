"""A policy as TOML, for operators that run a sanitizer without programming it.

```toml
preset = "standard"            # the base; "strict" and "off" are the others
allow = ["support@example.org"]

[inbound]                      # and [tool], [outbound]: the action for each category
pii = "mask"

[kinds]                        # exceptions, for a kind and all below it
pii.ip = "pass"
```
"""

import enum
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

from attrs import evolve

from .findings import Action, Category
from .policy import PRESETS, Direction, Failing, Mask, Policy, Rules

PASS: Final = "pass"  # noqa: S105 - the word for "let it pass"
"""Written instead of an action: not scanned for."""
PRESET: Final = "standard"
"""The preset of a file that names none."""

_HOST: Final = re.compile(r"[^\s/@?#\\]+")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_KIND: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")
_TYPES: Final[Mapping[type, str]] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a text",
}

_Word = TypeVar("_Word", bound=enum.StrEnum)


class PolicyError(ValueError):
    """A policy file that is invalid. The message names the key and the allowed values."""


def policy_from_toml(text: str) -> Policy:
    """Parse a policy from TOML.

    Its keys are `preset` and the fields of `Policy`. The preset's rules apply where the file has none; "pass" removes
    one. Raises `PolicyError` for anything else, because an ignored rule would protect no text.
    """
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise PolicyError(f"The policy is not TOML: {error}.") from error
    except RecursionError as error:
        raise PolicyError("The policy is not TOML: it is nested too deeply.") from error
    preset = _choice(table.pop("preset", PRESET), "preset", PRESETS)
    if unknown := next((key for key in table if key not in _FIELDS), None):
        _refuse(_named(unknown), "no key of a policy", ["preset", *_FIELDS])
    base = PRESETS[preset]
    return evolve(base, **{key: _FIELDS[key](value, key, base) for key, value in table.items()})


def _rules(value: object, key: str, base: Policy) -> Rules:
    rules = dict(base.rules(Direction(key)))
    for name, word in _table(value, key).items():
        if name not in list(Category):
            _refuse(f"{key}.{_named(name)}", "no category", Category)
        action = _action(word, f"{key}.{name}")
        if action is None:
            rules.pop(Category(name), None)
        else:
            rules[Category(name)] = action
    return rules


def _kinds(value: object, key: str, base: Policy) -> Mapping[str, Action | None]:
    return MappingProxyType({**base.kinds, **_by_kind(_table(value, key), key, _action)})


def _masks(value: object, key: str, base: Policy) -> Mapping[str, Mask]:
    return MappingProxyType(
        {**base.masks, **_by_kind(_table(value, key), key, lambda word, where: _word(word, where, Mask))}
    )


def _classes(value: object, key: str, _base: Policy) -> Mapping[str, frozenset[str]]:
    return MappingProxyType(
        {tag.lower(): _texts(names, f"{key}.{_named(tag)}") for tag, names in _table(value, key).items()}
    )


def _hosts(value: object, key: str, _base: Policy) -> frozenset[str]:
    hosts = _texts(value, key)
    for host in sorted(hosts):
        if not _HOST.fullmatch(host):
            raise PolicyError(
                f'`{key}` has {_shown(host)}, which is no host: write "example.org" or "example.org:8443".'
            )
    return frozenset(host.lower() for host in hosts)


def _threshold(value: object, key: str, _base: Policy) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise PolicyError(f"`{key}` is {_shown(value)}; it takes a number from 0 to 1.")
    return float(value)


def _count(value: object, key: str, _base: Policy) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PolicyError(f"`{key}` is {_shown(value)}; it takes a whole number, 0 or more.")
    return value


_FIELDS: Final[Mapping[str, Callable[[object, str, Policy], Any]]] = {
    "inbound": _rules,
    "tool": _rules,
    "outbound": _rules,
    "kinds": _kinds,
    "threshold": _threshold,
    "allow": lambda value, key, _base: _texts(value, key),
    "link_hosts": _hosts,
    "image_hosts": _hosts,
    "classes": _classes,
    "masks": _masks,
    "failing": lambda value, key, _base: _word(value, key, Failing),
    "max_findings": _count,
}

_Value = TypeVar("_Value")


def _by_kind(table: Mapping[str, object], where: str, read: Callable[[object, str], _Value]) -> dict[str, _Value]:
    """Return values by dotted kind, whether the key is quoted (`"pii.ip" = …`) or not (`pii.ip = …`)."""
    values: dict[str, _Value] = {}
    rows = [("", table)]
    while rows:
        above, inner = rows.pop()
        for name, value in inner.items():
            kind = above + name
            if not _KIND.fullmatch(kind):
                raise PolicyError(f'`{where}` has {_shown(kind)}, which is no kind: write "pii" or "pii.email".')
            if kind.partition(".")[0] not in list(Category):
                _refuse(f"{where}.{kind}", "below no category", Category)
            if isinstance(value, dict):
                rows.append((f"{kind}.", value))
            elif kind in values:
                raise PolicyError(f"`{where}.{kind}` stands there twice, with and without quotation marks.")
            else:
                values[kind] = read(value, f"{where}.{kind}")
    return values


def _action(value: object, where: str) -> Action | None:
    word = _choice(value, where, [*Action, PASS])
    return None if word == PASS else Action(word)


def _word(value: object, where: str, words: type[_Word]) -> _Word:
    return words(_choice(value, where, words))


def _choice(value: object, where: str, allowed: Iterable[str]) -> str:
    words = list(allowed)
    if not isinstance(value, str) or value not in words:
        raise PolicyError(f"`{where}` is {_shown(value)}; it takes one of {_listed(words)}.")
    return value


def _texts(value: object, where: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise PolicyError(f"`{where}` is {_shown(value)}; it takes a list of texts, none of them empty.")
    return frozenset(value)


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise PolicyError(f"`{where}` is {_shown(value)}; it takes a table: write [{where}] on a line of its own.")
    return value


def _refuse(where: str, what: str, allowed: Iterable[str]) -> NoReturn:
    raise PolicyError(f"`{where}` is {what}; there are {_listed(allowed)}.")


def _listed(words: Iterable[str]) -> str:
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} and {last}"


def _named(key: str) -> str:
    return key if _BARE.fullmatch(key) else _shown(key)


def _shown(value: object) -> str:
    """Return a value as a person would write it; long texts are shortened."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:40]}…")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and abs(value) < 1e15:
        return str(value)
    return _TYPES.get(type(value), "something else")
