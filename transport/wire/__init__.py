"""The parts of a program's vocabulary: commands, events, codes, dialects, encoding; and those of every program. Pure.

No trio and no sockets may be imported here.
"""
