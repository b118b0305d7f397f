"""Listening: TCP, TLS, HTTP/1 requests, the WebSocket upgrade and its socket.

What is said on a connection stands in `connection`.
"""
