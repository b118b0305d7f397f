"""The errors of tools: those a user may read about, and those for the tool's author."""

from enum import IntEnum

MAX_MESSAGE = 64 * 1024  # characters


class IsolatedExit(IntEnum):
    """Exit codes of an isolated call's process. Its output is the result, the code and sentence of a `ToolError`,
    nothing, or the traceback of a crash."""

    ANSWERED = 0
    REFUSED = 3
    NO_MEMORY = 4
    CRASHED = 5


class ToolError(Exception):
    """A tool refuses a call, or cannot carry it out.

    `code` is a name of `understudy.wire.codes.ERRORS`, `message` a sentence for the user, kept as text and cut.
    Both are positional, so the error survives pickling.
    """

    def __init__(self, code: str, message: str | Exception) -> None:
        self.code, self.message = str(code), str(message)[:MAX_MESSAGE]
        super().__init__(self.code, self.message)

    def __str__(self) -> str:
        return self.message


class EffectUnknown(ToolError):
    """A call failed, and it may have taken effect."""


class QuestionUnanswered(ToolError):
    """The user did not answer a tool's question."""


class QuestionDeclined(QuestionUnanswered):
    """The user declined to answer a tool's question."""


class QuestionExpired(QuestionUnanswered):
    """The user did not answer a tool's question in time."""


class InvalidResult(TypeError):
    """A tool returned a value that cannot be written as JSON. The sentence is shown, and logged as a crash."""
