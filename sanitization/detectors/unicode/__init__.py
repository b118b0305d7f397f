"""Detectors of invisible and confusable characters, with the data of both.

They run before the others, so that hidden characters hide nothing from those; markup is not their matter.
"""
