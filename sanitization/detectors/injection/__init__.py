"""The detector of injected instructions: its rules, its vocabulary, and the classifier.

Other kinds of finding, and the decision what to do with one, stand elsewhere.
"""
