"""OAuth 2.1 as a client: guarded requests and tokens for the extensions that sign users in at other servers.

Nothing here knows at which servers. It needs no SDK.
"""

from typing import Final

from understudy.extension import Extension


class OAuth(Extension):
    """See the module. It has no parts: those that require it sign users in."""

    name = "oauth"
    about = "what signing in elsewhere shares"


EXTENSION: Final = OAuth()
