"""The doctor: checks of configuration and services before a server starts, with the way to fix each problem.

It changes nothing. Checks of an extension's settings are its own.
"""

from typing import Final

from understudy.extension import Extension, TerminalCommands


class Doctor(Extension):
    """See the module."""

    name = "doctor"
    about = "check configuration and services, and say how to fix problems"

    def terminal(self) -> TerminalCommands:
        """`understudy doctor`."""
        from understudy.extensions.doctor.terminal import doctor

        return TerminalCommands([doctor])


EXTENSION: Final = Doctor()
