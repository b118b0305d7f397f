"""Identity and permission: sessions, tokens, revocation, tenants, rights.

No sockets and no HTTP stand here.
"""
