"""The actors of a chat: conversations, their runs, the runs' tool calls, and the pure parts they decide by.

No HTTP, no socket and no SQL stand here, and other nodes are reached through `placement` only.
"""
