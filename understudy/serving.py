"""`serve`: start the server from Python, as `understudy serve` does from a shell."""

from typing import Any

from understudy.agents.agent import Agent
from understudy.config import load


def serve(*agents: Agent, **settings: Any) -> int:
    """Serve these agents, beside the built-in ones, until the process is told to stop; returns the exit code.

    `settings` are fields of `understudy.config.Settings` and win over the file and the environment. Blocks; call
    it from the main thread, outside any event loop.

    Raises:
        BadSettings: A setting is missing or wrong.
    """
    from understudy.app import run  # the whole server, which who only writes tools need not load

    return run(load(**settings), list(agents))
