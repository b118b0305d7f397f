"""Identity and permission: sessions, tokens, their revocation, tenants, rights, and the OAuth that extensions share.

No web framework and no routes stand here.
"""
