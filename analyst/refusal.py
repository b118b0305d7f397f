"""The error of a process that reads a table. This module imports nothing, so that the process starts fast."""


class Refusal(Exception):
    """An operation is refused or fails. The server raises a `ToolError` with this code and sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
