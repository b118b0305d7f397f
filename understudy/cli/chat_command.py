"""A command of an extension in `understudy chat`."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from attrs import frozen

Ask: TypeAlias = Callable[..., Awaitable[dict[str, Any]]]
"""Sends a request of a method and a path to the server, maybe with a body; raises ServerFailed with its sentence."""


@frozen
class ChatCommand:
    """What a line that begins with `word` does. `about` is its line in the help; `run` takes the name of the current
    agent and the rest of the line, and returns the lines to show."""

    word: str
    about: str
    run: Callable[[Ask, str, str], Awaitable[list[str]]]
