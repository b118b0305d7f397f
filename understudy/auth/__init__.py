"""Identity and permission: sessions, tokens, their revocation, tenants, rights, and the seal of what is stored secret.

No web framework and no routes stand here.
"""
