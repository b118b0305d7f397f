"""The type of a command that an extension adds to `understudy chat`."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from attrs import frozen

Ask: TypeAlias = Callable[..., Awaitable[dict[str, Any]]]
"""Sends a request: method, path, and optionally a body. Raises ServerFailed with the server's sentence."""


@frozen
class ChatCommand:
    """A command: a line that begins with `word`. `about` is its line in the help; `run` takes `Ask`, the name of the
    current agent and the rest of the line, and returns the lines to show."""

    word: str
    about: str
    run: Callable[[Ask, str, str], Awaitable[list[str]]]
