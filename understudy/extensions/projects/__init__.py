"""Projects: a first one for who writes agents, with all that belongs to it, made of the template beside this.

A server does without it.
"""

from typing import Final

from understudy.extension import Extension, TerminalCommands


class Projects(Extension):
    """See the module."""

    name = "projects"
    about = "make a project with an agent, tools and tests"

    def terminal(self) -> TerminalCommands:
        """`understudy new`."""
        from understudy.extensions.projects.terminal import new

        return TerminalCommands([new])


EXTENSION: Final = Projects()
