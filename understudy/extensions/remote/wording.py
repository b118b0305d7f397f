"""What other servers say, for people: their answer as it comes, a refusal in a sentence, values in place of a text."""

import json
from typing import Any, Final

from attrs import define

from understudy.models.model import ModelUnavailable

PARAGRAPH: Final = "\n\n"
MAX_TEXT: Final = 2_000_000
"""Characters of an answer, beyond which a remote is given up: it does not stop."""
ENDLESS: Final = "The remote agent does not stop to answer."
MAX_RESPONSE: Final = 256 * 1024 * 1024
"""Bytes of one stream."""
MAX_SENTENCE: Final = 1000
MAX_DATA: Final = 10_000
"""Characters of a value that is shown."""
TOLD: Final = ("message", "msg", "error_description", "error", "errors", "detail", "reason", "title")
MAX_DEPTH: Final = 6
MAX_LISTED: Final = 10
"""Levels, and entries of a list, in which a server's words are looked for."""
MAX_REFUSAL: Final = 64 * 1024
"""Bytes of a refusal that are read for its sentence."""
NOTHING: Final = "The remote agent ended without an answer."
CUT: Final = "The connection to the remote agent was cut."
TOO_MUCH: Final = "The remote agent sent more than is accepted."
UNREACHABLE: Final = "The remote agent cannot be reached."


def words_of(said: Any, depth: int = 0) -> str:
    """Return what a server says of a failure, in JSON or in the value of one; empty if it does not.

    Its own words stand under the first of `TOLD` that has any, in objects and lists, and more of them under `data`.
    """
    if isinstance(said, bytes):
        try:
            said = json.loads(said[:MAX_REFUSAL])
        except (ValueError, RecursionError):
            return ""
    words = said.strip() if isinstance(said, str) else ""
    if isinstance(said, list) and depth < MAX_DEPTH:
        words = "; ".join(filter(None, (words_of(part, depth + 1) for part in said[:MAX_LISTED])))
    elif isinstance(said, dict) and depth < MAX_DEPTH:
        told = next(filter(None, (words_of(said.get(name), depth + 1) for name in TOLD)), "")
        place = ".".join(map(str, said["loc"])) if isinstance(said.get("loc"), list) else ""
        words = ": ".join(filter(None, (place, told, words_of(said.get("data"), depth + 1))))
    return words[:MAX_SENTENCE]


def refusal(status: int, words: str) -> ModelUnavailable:
    """Return the error for a status of HTTP, with the server's own words."""
    if status in (401, 403):
        return ModelUnavailable("The remote agent does not accept this server's key.", retryable=False)
    sentence = f"The remote agent answered with the status {status}" + (f": {words}" if words else ".")
    return ModelUnavailable(sentence, retryable=status >= 500 or status == 429)


def block(value: Any) -> str:
    """Return a value as a block of JSON in Markdown."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)[:MAX_DATA]}\n```"


@define
class ShownText:
    """The text of an answer that is shown, which stays: one that was rewritten is shown whole at the end."""

    text: str = ""

    def take_more(self, text: str) -> str:
        """Return what continues the shown text, and counts as shown now; nothing if `text` does not continue it."""
        if not text.startswith(self.text):
            return ""
        fresh, self.text = text[len(self.text) :], text
        return fresh

    def take_rest(self, text: str) -> str:
        """Return what is not shown of the whole answer."""
        if self.text.startswith(text):
            return ""
        return self.take_more(text if text.startswith(self.text) else f"{self.text}{PARAGRAPH}{text}")
