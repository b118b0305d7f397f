"""The endpoints for browsers and HTTP clients: WebSocket, event streams, REST, and the files of the page.

Requests are checked and handed to `chat`; nothing is decided about conversations here.
"""
