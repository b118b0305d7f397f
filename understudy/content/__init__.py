"""The content filter: applies `sanitization` to messages, answers, tool results and files by one policy.

Detectors are in `sanitization`; this folder decides where they run, their cost, and the texts that are stored and
reported.
"""
