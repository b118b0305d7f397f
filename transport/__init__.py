"""WebSockets and HTTP on one port: connections that exchange the commands and events of any program.

`wire` is pure: a program's vocabulary, frames to commands, events to the frames of each dialect. `server` moves bytes
(listener, sockets, HTTP), `connection` and `outbox` are the actors of one client, `auth` verifies tokens, and `client`
is the Python client. A program is reached through `connection.callbacks` only.
"""
