"""Providers: the code that the clients of all model APIs share.

It reads replies with bounds and deadlines, and adapts requests to what a server accepts.
"""

from typing import Final

from understudy.extension import Extension


class ProvidersOfModels(Extension):
    """See the module. It has no parts: those that require it bring the clients."""

    name = "providers"
    about = "what clients of models share"


EXTENSION: Final = ProvidersOfModels()
