"""Providers: what the clients of models share, whichever API they ask by.

They read replies with bounds and deadlines, and write requests as far as a server takes them.
"""

from typing import Final

from understudy.extension import Extension


class ProvidersOfModels(Extension):
    """See the module. It has no parts: those that require it bring the clients."""

    name = "providers"
    about = "what clients of models share"


EXTENSION: Final = ProvidersOfModels()
