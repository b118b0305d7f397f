"""The page on custom detectors: its code runs and prints the shown output."""

import io
import re
from contextlib import redirect_stdout
from typing import Any

import attrs

from sanitization import Pattern
from tests.rigs.doc_tables import DOCS

PAGE = DOCS / "how-to" / "write-a-detector.md"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def test_every_block_runs_and_prints_what_follows_it() -> None:
    session: dict[str, Any] = {}
    printed = ""
    shown = 0
    for match in FENCE.finditer(PAGE.read_text()):
        language, title, text = match[1], match[2], match[3]
        if language == "python":
            code = compile(text, str(PAGE), "exec")
            if title != "presidio":
                out = io.StringIO()
                with redirect_stdout(out):
                    exec(code, session)
                printed = out.getvalue()
        else:
            assert printed == text
            shown += 1
    assert shown == 3


def test_the_numbers_on_the_page_are_the_defaults() -> None:
    defaults = {field.name: field.default for field in attrs.fields(Pattern)}
    text = PAGE.read_text()
    assert (
        f"code points from where it begins ({defaults['reach']}) and `context` before it ({defaults['context']})"
        in (" ".join(text.split()))
    )
    assert f"holds back its last {defaults['reach']} characters" in " ".join(text.split())
