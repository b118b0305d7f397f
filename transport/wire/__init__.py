"""The vocabulary of a connection: commands, events, codes, dialects, encoding. Pure.

No trio and no sockets may be imported here.
"""
