"""Authentication of connections: tokens, keys, cached verifications, addresses behind proxies.

Users are not stored here.
"""
