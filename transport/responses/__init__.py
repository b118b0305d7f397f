"""The Responses API of OpenAI as one more encoding of the same events, and its older one, chat completions.

Their HTTP routes, and how their requests become commands, stand with the application.
"""
