"""The vocabulary of the chat: its events, commands, error codes and dialects, given to `transport`. Pure.

Everything else of the chat may import this; it imports `transport.wire` alone.
"""
