"""The UI message stream of the Vercel AI SDK, version 1, which `useChat` reads: translation and stream of one run.

Nothing here knows HTTP routes or the chat.
"""
