"""The actor of one client, over a WebSocket or an event stream.

It parses commands, dispatches them, and owns the client's outbox.
"""
