"""The A2A protocol, version 1.0, by its JSON-RPC binding: translation and stream of one task.

Nothing here knows HTTP routes or the chat.
"""
