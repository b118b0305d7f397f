"""The first message of a thread in each form that a server accepts."""

ASK = "What is 17 * 23? Use your calculator."
STARTS = [
    {"type": "message", "content": ASK},
    {"type": "chat", "content": ASK},
    {"type": "agent_message", "content": ASK},
    {"type": "user_message", "payload": {"content": ASK}},
    {"type": "start_agent", "payload": {"content": ASK, "settings": {}, "context": {}, "references": []}},
    {"agent_type": "guide", "message": ASK},
]
"""Messages to the guide, in each form that a server accepts."""
