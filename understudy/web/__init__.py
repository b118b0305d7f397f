"""Everything that browsers and HTTP clients connect to: the WebSocket endpoint, event streams, REST, the page.

Requests are checked and handed to `chat`; nothing is decided about conversations here.
"""
