"""Doors: the shared code of the endpoints for clients of other protocols, each of which is an extension of its own.

It reads the content of such a client's message, finds the stored version that it means, and translates a run's events.
"""

from typing import Final

from understudy.extension import Extension


class Doors(Extension):
    """See the module. It adds nothing itself; the extensions that require it open the doors."""

    name = "doors"
    about = "what doors for other clients share"


EXTENSION: Final = Doors()
