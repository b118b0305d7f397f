"""Who a user is and what it may do: sessions, tokens, revocation, tenants, rights.

No sockets and no HTTP stand here.
"""
