"""What a browser or an HTTP client reaches: the WebSocket endpoint, event streams, REST, the page, specifications.

Requests are checked and handed to `chat`; nothing is decided about conversations here.
"""
