"""OAuth 2.1 as a client, for all that signs users in elsewhere: requests to addresses that others name, and tokens.

Nothing here knows what is signed in to. It needs no SDK.
"""

from typing import Final

from understudy.extension import Extension


class OAuth(Extension):
    """See the module. It has no parts: those that require it sign users in."""

    name = "oauth"
    about = "what signing in elsewhere shares"


EXTENSION: Final = OAuth()
