"""What a program's vocabulary is made of: commands, events, codes, dialects, encoding; and those that all have. Pure.

No trio and no sockets may be imported here.
"""
