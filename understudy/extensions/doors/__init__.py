"""What the doors for clients of other protocols share, each of which is an extension of its own.

They read what such a client says of a message, find which version of a message it means, and translate a run's events.
"""

from typing import Final

from understudy.extension import Extension


class Doors(Extension):
    """See the module. It has no parts: those that require it open the doors."""

    name = "doors"
    about = "what doors for other clients share"


EXTENSION: Final = Doors()
