"""The actors of a chat: conversations, their runs, and the runs' tool calls; with the pure parts they decide by."""
