"""The command `understudy chat`: a conversation in the terminal, over the same WebSocket as the page.

Nothing of the server stands here; this is a client.
"""
