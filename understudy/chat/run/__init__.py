"""The actor that works on one message: the agent loop, tool calls, approvals, resuming.

It speaks to its conversation and stores through it.
"""
