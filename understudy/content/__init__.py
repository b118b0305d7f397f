"""The content filter: applies `sanitization` to messages, answers, tool results and files by one policy.

Detection itself stands in `sanitization`; what a policy costs and keeps stands here.
"""
