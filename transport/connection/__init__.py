"""The actor of one client, over a WebSocket or an event stream.

It parses commands, hands them on, and owns the client's outbox.
"""
