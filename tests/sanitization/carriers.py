"""What tools, formats and languages write around a text, and how they write it."""

import html
import json
import shlex
import unicodedata
import urllib.parse
from collections.abc import Callable
from typing import Final

Carrier = Callable[[str], str]


def lines(prefix: Callable[[int], str]) -> Carrier:
    return lambda text: "\n".join(prefix(number) + line for number, line in enumerate(text.split("\n"), 1))


def in_digits(zero: int) -> Carrier:
    return lambda text: text.translate({0x30 + digit: zero + digit for digit in range(10)})


PRINTED: Final[dict[str, Carrier]] = {
    "cat -n": lines(lambda number: f"{number:6d}\t"),
    "numbers and colons": lines(lambda number: f"{number}: "),
    "numbers and bars": lines(lambda number: f"{number:4d} | "),
    "numbers and arrows": lines(lambda number: f"{number:5d}→"),
    "grep -n": lines(lambda number: f"conf/app.env:{number}:"),
    "log": lines(lambda number: f"2026-11-25T10:00:{number % 60:02d}.123Z INFO app[12]: "),
    "syslog": lines(lambda number: f"Nov 25 10:00:{number % 60:02d} host app[123]: "),
    "containers": lines(lambda _: "web-1  | "),
    "diff, new": lines(lambda _: "+"),
    "diff, old": lines(lambda _: "-"),
    "comment #": lines(lambda _: "# "),
    "comment //": lines(lambda _: "// "),
    "comment *": lines(lambda _: " * "),
    "comment --": lines(lambda _: "-- "),
    "comment ;": lines(lambda _: "; "),
    "comment REM": lines(lambda _: "REM "),
    "quoted": lines(lambda _: "> "),
    "indented": lines(lambda _: "        "),
}
"""A prefix on each line."""
WRITTEN: Final[dict[str, Carrier]] = {
    "json": lambda text: json.dumps({"seen": text}),
    "json in json": lambda text: json.dumps(json.dumps({"seen": text})),
    "python": lambda text: f"[{text!r}]",
    "yaml": lambda text: "seen: |\n" + "\n".join(f"  {line}" for line in text.split("\n")),
    "here-document": lambda text: f"cat <<EOF > seen\n{text}\nEOF",
    "fence": lambda text: f"```\n{text}\n```",
    "shell": lambda text: f"echo {shlex.quote(text)}",
    "entities": lambda text: f"<pre>{html.escape(text)}</pre>",
    "form": lambda text: f'Content-Disposition: form-data; name="seen"\r\n\r\n{text}\r\n--boundary',
}
"""A format in which the text is a value, with its escapes."""
SPELLED: Final[dict[str, Carrier]] = {
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "full-width digits": in_digits(0xFF10),
    "Arabic-Indic digits": in_digits(0x660),
    "Persian digits": in_digits(0x6F0),
}
"""Other characters for the same ones."""
ENCODED: Final[dict[str, Carrier]] = {
    "percent": lambda text: f"q={urllib.parse.quote(text, safe='')}&x=1",
    "entity": lambda text: text.replace("@", "&#64;"),
    "hexadecimal entity": lambda text: text.replace("@", "&#x40;"),
    "named entity": lambda text: text.replace("@", "&commat;"),
    "escape": lambda text: text.replace("@", "\\u0040"),
}
"""The sign of a mail address in the codes of addresses, pages and JSON."""
