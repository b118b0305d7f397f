"""Identity and permission: sessions, tokens, their revocation, tenants, rights, and encryption of stored secrets.

This package has no routes, and imports no web framework.
"""
