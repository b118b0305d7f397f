"""The chat in a terminal: `understudy chat` talks to a running server, here or elsewhere."""

from typing import Final

from understudy.extension import Extension, TerminalCommands


class TerminalChat(Extension):
    """See the module."""

    name = "terminal"
    about = "talk to a server in a terminal"

    def terminal(self) -> TerminalCommands:
        """Return the command `understudy chat`."""
        from understudy.extensions.terminal.command import chat

        return TerminalCommands(commands=[chat])


EXTENSION: Final = TerminalChat()
