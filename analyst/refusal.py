"""The error of a process that reads a table. It imports nothing of the server, so that the process starts fast."""


class Refusal(Exception):
    """An operation that is refused or fails, with the code and the sentence that its caller raises as a `ToolError`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
