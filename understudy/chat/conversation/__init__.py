"""The actor that owns a thread: accepts messages, queues runs, numbers and publishes events.

Nothing in it calls a model or a tool.
"""
