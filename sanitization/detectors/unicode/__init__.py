"""Detectors of invisible and confusable characters, with the data of both.

They run before the other detectors, which then read the text without disguises. Markup is not handled here.
"""
