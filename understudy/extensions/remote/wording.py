"""Turns the output of other servers into text for users: an answer as it comes, a refusal, a value as JSON."""

import json
from typing import Any, Final

from attrs import define

from understudy.models.model import ModelUnavailable

PARAGRAPH: Final = "\n\n"
MAX_TEXT: Final = 2_000_000
"""Limit of characters of an answer; a remote that exceeds it is given up as endless."""
ENDLESS: Final = "The remote agent does not stop to answer."
MAX_RESPONSE: Final = 256 * 1024 * 1024
"""Limit of bytes of one stream."""
MAX_SENTENCE: Final = 1000
MAX_DATA: Final = 10_000
"""Limit of characters of a value that is shown; a longer one is cut."""
TOLD: Final = ("message", "msg", "error_description", "error", "errors", "detail", "reason", "title")
"""Members that may hold a server's words on a failure, the best first."""
MAX_DEPTH: Final = 6
MAX_LISTED: Final = 10
"""Limits of levels, and of entries of a list, in which a server's words are searched."""
MAX_REFUSAL: Final = 64 * 1024
"""Bytes of a refusal that are read for its sentence."""
NOTHING: Final = "The remote agent ended without an answer."
CUT: Final = "The connection to the remote agent was cut."
TOO_MUCH: Final = "The remote agent sent more than is accepted."
UNREACHABLE: Final = "The remote agent cannot be reached."


def words_of(failure: Any, depth: int = 0) -> str:
    """Return the words in which a server explains a failure, from JSON or its value; empty if there are none.

    The words are those under the first member in `TOLD` that has any, in objects and lists, and those under `data`.
    """
    if isinstance(failure, bytes):
        try:
            failure = json.loads(failure[:MAX_REFUSAL])
        except (ValueError, RecursionError):
            return ""
    words = failure.strip() if isinstance(failure, str) else ""
    if isinstance(failure, list) and depth < MAX_DEPTH:
        words = "; ".join(filter(None, (words_of(part, depth + 1) for part in failure[:MAX_LISTED])))
    elif isinstance(failure, dict) and depth < MAX_DEPTH:
        sentence = next(filter(None, (words_of(failure.get(name), depth + 1) for name in TOLD)), "")
        location = ".".join(map(str, failure["loc"])) if isinstance(failure.get("loc"), list) else ""
        words = ": ".join(filter(None, (location, sentence, words_of(failure.get("data"), depth + 1))))
    return words[:MAX_SENTENCE]


def refusal(status: int, words: str) -> ModelUnavailable:
    """Return the error for an HTTP status, with the server's own words."""
    if status in (401, 403):
        return ModelUnavailable("The remote agent does not accept this server's key.", retryable=False)
    sentence = f"The remote agent answered with the status {status}" + (f": {words}" if words else ".")
    return ModelUnavailable(sentence, retryable=status >= 500 or status == 429)


def block(value: Any) -> str:
    """Return a value as a block of JSON in Markdown."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)[:MAX_DATA]}\n```"


@define
class ShownText:
    """The shown text of an answer. It is never withdrawn: a rewritten answer is shown whole at the end, after it."""

    text: str = ""

    def take_more(self, text: str) -> str:
        """Return the text after the shown text, and count it as shown; empty if `text` does not continue that."""
        if not text.startswith(self.text):
            return ""
        fresh, self.text = text[len(self.text) :], text
        return fresh

    def take_rest(self, text: str) -> str:
        """Return the part of the whole answer that is not shown, or all of it if it was rewritten."""
        if self.text.startswith(text):
            return ""
        return self.take_more(text if text.startswith(self.text) else f"{self.text}{PARAGRAPH}{text}")
