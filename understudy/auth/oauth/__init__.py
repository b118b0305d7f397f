"""OAuth 2.1 as a client, for all that signs users in elsewhere: requests to addresses that others name, tokens, seals.

Nothing here knows what is signed in to. It needs no SDK.
"""
