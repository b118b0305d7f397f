"""The content filter: applies `sanitization` to messages, answers, tool results and files by one policy.

Detectors are in `sanitization`; this folder decides where they run, what they may cost, and what is stored and
reported.
"""
