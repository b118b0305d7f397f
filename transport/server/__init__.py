"""The server side of a port: TCP, TLS, HTTP/1 requests, the WebSocket upgrade and its socket.

Commands and events are handled in `connection` and `outbox`, not here.
"""
