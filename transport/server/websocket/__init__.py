"""The WebSocket protocol without I/O: frames, messages, compression.

No trio and no sockets may be imported here.
"""
