"""Actors around code that is not trio's: blocking calls in threads, coroutines of asyncio."""
