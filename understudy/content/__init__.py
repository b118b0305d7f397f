"""The content filter: applies `sanitization` to messages, answers, tool results and files by one policy.

The detectors are in `sanitization`. This package decides which texts they scan, in which thread and how long, and which
findings are reported.
"""
