"""Who connects: tokens, keys, cached verifications, addresses behind proxies.

No user database stands here.
"""
