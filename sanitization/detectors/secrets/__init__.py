"""The detector of credentials: keys by their form, passwords by the words around them.

Numbers that name a person stand in `pii`, not here.
"""
