"""Peers on the same text. Each does a part of the work, which its name states."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import nh3

Peer = Callable[[str], object]

# Well-known prefixes with their continuations, as commonly written: one expression, tried everywhere.
_NAIVE: Final = "|".join((
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    r"\bgithub_pat_\w{22,}\b",
    r"\bglpat-[\w-]{20}\b",
    r"\bxox[abposr]-[\w-]{10,}",
    r"\b[sr]k_(?:live|test)_\w{10,}\b",
    r"\bsk-[\w-]{20,}",
    r"\bAIza[\w-]{35}\b",
    r"\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]*",
    r"\bnpm_\w{36}\b",
    r"\bSG\.[\w-]{22}\.[\w-]{43}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"(?i:password|passwd|secret|token|api[_-]?key)[\"']?\s*[:=]\s*[\"']?[^\s\"']{6,}",
    r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b",
    r"\b(?:\d[ -]?){13,19}\b",
    r"\b[A-Z]{2}\d{2}[ ]?(?:[A-Z0-9]{4}[ ]?){3,7}\b",
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
    r"\+\d[\d ()-]{7,}\d",
    r"\b\d{3}-\d{2}-\d{4}\b",
    r"(?i:(?:ignore|disregard|forget)\s+(?:all\s+)?(?:previous|prior)\s+instructions)",
    r"<\|[a-z_]+\|>",
    r"<script\b|javascript:|\bon[a-z]+\s*=",
    r"\x1b\[[0-?]*[ -/]*[@-~]",
    r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\U000e0000-\U000e007f]",
))  # fmt: skip


def others() -> Iterator[tuple[str, Peer]]:
    """Yield the installed peers, by name; `pip install '.[bench]'` installs all."""
    union = re.compile(_NAIVE)
    yield "one re union", lambda text: union.sub("[redacted]", text)
    yield "nh3, markup only", nh3.clean
    for made in (_detect_secrets, _presidio):
        try:
            yield made()
        except ImportError:
            continue


def _detect_secrets() -> tuple[str, Peer]:
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    def scan(text: str) -> None:
        with default_settings():
            for line in text.splitlines():
                for _ in scan_line(line):
                    pass

    return "detect-secrets, secrets only", scan


def _presidio() -> tuple[str, Peer]:
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    # The one for e-mail addresses would fetch the list of public suffixes from the network.
    made = [value for name, value in sorted(vars(predefined_recognizers).items()) if name != "EmailRecognizer"]
    chosen = [
        result()
        for result in made
        if isinstance(result, type) and issubclass(result, PatternRecognizer) and result is not PatternRecognizer
    ]
    english = [result for result in chosen if result.supported_language == "en"]
    return "Presidio's patterns, PII only", lambda text: [
        result.analyze(text, result.supported_entities) for result in english
    ]
