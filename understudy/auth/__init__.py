"""Identity and permission: sessions, tokens, revocation, tenants, rights, and sign-in at an identity provider.

No web framework and no routes stand here.
"""
