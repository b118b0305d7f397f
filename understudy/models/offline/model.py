"""The offline model: rules in place of a language model, so that a server works without a network, and can be tested.

Its rules are 15 modules, 1.3 MB and 50 ms of a processor. They are imported in a thread, when the first client connects
or at the first turn: a server without clients, or with another model, has none of them.
"""

import math
import sys
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import trio

from understudy.models.model import Emit, Reply, Turn

if TYPE_CHECKING:
    from understudy.models.offline.provider import OfflineRules

_RULES: Final = "understudy.models.offline.provider"
NOTICE: Final = "Answers come from a rule-based stand-in that picks tools by their words; it is not a language model."


class OfflineModel:
    """A rule-based stand-in for a language model: it picks tools by their words and fills arguments by their formats.

    `words_per_s` slows answers down to the pace of a reader, long ones to `PACE_S` in all; 0: no pauses. An interrupted
    answer continues after the shown text, because the same turn gives the same words; if some were redacted it starts
    again. `new_id` makes the ids of tool calls, which must be unique in a thread.
    """

    name = "offline"
    notice = NOTICE

    def __init__(
        self, words_per_s: float = 0.0, new_id: Callable[[], str] = lambda: f"call-{uuid.uuid4().hex}"
    ) -> None:
        if not 0 <= words_per_s < math.inf:
            raise ValueError(f"words_per_s must be 0 or more, not {words_per_s!r}")
        self._pause_s = 1 / words_per_s if words_per_s else 0.0
        self._new_id = new_id
        self._provider: OfflineRules | None = None

    async def warm_up(self) -> None:
        """Import the rules, without holding up the loop. Does nothing if they have been imported."""
        await self._rules()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn with tool calls, a handoff, or text. Never raises `ModelUnavailable`."""
        if self._provider is None:
            self._provider = (await self._rules())(self._pause_s, self._new_id)
        return await self._provider.respond(turn, emit)

    async def _rules(self) -> "type[OfflineRules]":
        # A module that another thread is importing is listed already, but has no class yet.
        found: Any = getattr(sys.modules.get(_RULES), "OfflineRules", None)
        if found is None:
            found = (await trio.to_thread.run_sync(import_module, _RULES)).OfflineRules
        rules: type[OfflineRules] = found
        return rules
