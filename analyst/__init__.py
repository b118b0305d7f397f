"""Tables: the agent `insights` profiles, queries, joins and charts them, by DuckDB in confined processes.

It is an extension in its own distribution, which the server finds by its entry point, and uses only public names of
`understudy`. The modules that run in a process (`table_worker`, `probe` and those they load) import nothing of
`understudy` at all.
"""

from collections.abc import Sequence
from typing import Final

from understudy import Agent, Extension


class Analyst(Extension):
    """See the module."""

    name = "analyst"
    about = "profile, query, join and chart tables"

    def agents(self) -> Sequence[Agent]:
        """The agent of tables."""
        from analyst.agent import insights

        return [insights]


EXTENSION: Final = Analyst()
