"""Backups: copy the data folder of a server, which may be running, and restore it into an empty one.

PostgreSQL has commands of its own for this.
"""

from typing import Final

from understudy.extension import Extension, TerminalCommands


class Backups(Extension):
    """See the module."""

    name = "backups"
    about = "copy a server's data folder, and restore it"

    def terminal(self) -> TerminalCommands:
        """`understudy backup` and `understudy restore`."""
        from understudy.extensions.backups.terminal import backup, restore

        return TerminalCommands([backup, restore])


EXTENSION: Final = Backups()
