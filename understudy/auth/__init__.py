"""Identity and permission: sessions, tokens, revocation, tenants, rights, local accounts, and sign-in at a provider.

No web framework and no routes stand here.
"""
