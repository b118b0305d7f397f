"""WebSockets and HTTP on one port, and the vocabulary of commands and events that connections exchange.

`wire` is pure: frames to commands, events to the frames of each dialect. `server` moves bytes (listener, sockets,
HTTP), `connection` and `outbox` are the actors of one client, `auth` verifies tokens, and `client` is the Python
client. Agents and storage are reached through `connection.callbacks` only.
"""
