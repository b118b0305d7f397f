"""Projects: creates a first project for authors of agents, from the template in this folder.

No server needs it.
"""

from typing import Final

from understudy.extension import Extension, TerminalCommands


class Projects(Extension):
    """See the module."""

    name = "projects"
    about = "make a project with an agent, tools and tests"

    def terminal(self) -> TerminalCommands:
        """Return the command `understudy new`."""
        from understudy.extensions.projects.terminal import new

        return TerminalCommands([new])


EXTENSION: Final = Projects()
