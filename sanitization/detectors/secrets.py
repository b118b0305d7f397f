"""Finds keys, tokens and passwords by the rules of `secret_rules`, in one pass over the text.

The pass looks for anchors (literals such as `ghp_`, words such as `password`), and tries the rules of an anchor
where it stands. No rule's body takes in what may stand before its own anchor, so no character is read twice by
the same rule but for bounded looks; the cost is linear.
"""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Category, Hit

from . import secret_rules as rules
from .secret_values import is_password, is_placeholder, is_random

REPLACEMENT: Final = "[redacted]"
REACH: Final = 8_192

_LITERALS: Final = sorted({anchor for rule in rules.TOKENS for anchor in rule.anchors}, key=len, reverse=True)
_ANCHOR: Final = re.compile(
    f"(?P<token>{'|'.join(map(re.escape, _LITERALS))})|(?P<block>-----BEGIN)|(?P<url>://)|(?P<word>{rules.WORDS})"
)
_BY_LITERAL: Final = {
    literal: tuple(rule for rule in rules.TOKENS if any(literal.startswith(anchor) for anchor in rule.anchors))
    for literal in _LITERALS
}


class Secrets:
    """Finds `secret.*`: tokens of known form, private keys, passwords in addresses and in assignments."""

    name = "secrets"
    category = Category.SECRET
    context = 2
    reach = REACH

    def find(self, text: str, start: int = 0) -> Iterator[Hit]:
        """The secret parts only: of `password = …` the value, of `scheme://user:…@host` the password."""
        position = start
        while anchor := _ANCHOR.search(text, position):
            match anchor.lastgroup:
                case "token":
                    hit = _token(text, anchor) or _assigned(text, anchor.start())
                case "block":
                    hit = _private_key(text, anchor.start())
                case "url":
                    hit = _in_address(text, anchor.start())
                case _:
                    hit = _assigned(text, anchor.start())
            if hit:
                yield hit
            position = hit.end if hit else anchor.start() + 1

    def settled(self, text: str, start: int = 0) -> int:
        """Everything but the last word, an assignment whose value may still come, and an open private key."""
        end = start + len(text[start:].rstrip(rules.PRINTABLE))
        for pattern, distance in ((rules.PENDING_WORD, rules.WORD_REACH), (rules.PENDING_BLOCK, REACH)):
            pending = pattern.search(text, max(start, len(text) - distance))
            if pending:
                end = min(end, pending.start())
        return end


def _token(text: str, anchor: re.Match[str]) -> Hit | None:
    for rule in _BY_LITERAL[anchor[0]]:
        match = rule.pattern.match(text, anchor.start())
        if match and not is_placeholder(match[0]) and (not rule.random or is_random(match[0][len(anchor[0]) :])):
            return Hit(match.start(), match.end(), f"secret.{rule.kind}", rule.score, REPLACEMENT, match.start())
    return None


def _private_key(text: str, start: int) -> Hit | None:
    """A block up to its end line; of a block that was cut off, the lines that are there."""
    head = rules.BLOCK_HEAD.match(text, start)
    if not head:
        return None
    end = rules.BLOCK_END.search(text, head.end(), start + rules.BLOCK_MAX)
    body = end or rules.BLOCK_LINES.match(text, head.end(), start + rules.BLOCK_MAX)
    if not body or (not end and body.end() - head.end() < rules.BLOCK_LEAST):
        return None
    return Hit(start, body.end(), "secret.private_key", 1.0, REPLACEMENT, start)


def _in_address(text: str, start: int) -> Hit | None:
    match = rules.ADDRESS.match(text, start)
    if not match or is_placeholder(match["value"]):
        return None
    return Hit(*match.span("value"), "secret.connection_string", 0.9, REPLACEMENT, start)


def _assigned(text: str, start: int) -> Hit | None:
    match = rules.ASSIGNMENT.match(text, start)
    if not match:
        return None
    group = match.lastgroup or "bare"
    value = match[group]
    if is_placeholder(value) or (group == "bare" and text[match.end() : match.end() + 1] in ("(", "[")):
        return None
    password = bool(rules.PASSWORD_WORD.match(match["word"]))
    prose = match["sign"].strip(" ,").isalpha()
    if not (is_password(value, prose=prose) if password else not prose and is_random(value)):
        return None
    kind = "secret.password" if password else "secret.assigned"
    return Hit(*match.span(group), kind, 0.6 if prose else 0.8, REPLACEMENT, start)
