"""`serve`: start the server from Python, as `understudy serve` does from a shell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from understudy.agents.agent import Agent
from understudy.app.listening import listening_early
from understudy.app.settings import load

if TYPE_CHECKING:
    from sanitization import Detector


def serve(*agents: Agent, detectors: "Sequence[Detector]" = (), **settings: Any) -> int:
    """Serve these agents, beside the built-in ones, until the process is told to stop; returns the exit code.

    `detectors` are your own, which look through every text beside those of `sanitization`. `settings` are fields of
    `understudy.app.settings.Settings` and win over the file and the environment. Blocks; call it from the main thread,
    outside any event loop.

    Raises:
        BadSettings: A setting is missing or wrong.
    """
    found = load(**settings)
    with listening_early(found) as sockets:
        from understudy.app.process import run  # the whole server, which who only writes tools need not load

        return run(found, list(agents), detectors, sockets)
