"""Actors around code that is not trio's: blocking calls in threads, coroutines of asyncio."""

from .calls import ForeignTimeout as ForeignTimeout
from .calls import LateCall as LateCall
from .calls import TooManyLeftBehind as TooManyLeftBehind
from .calls import late_calls as late_calls
from .in_asyncio import AsyncioActor as AsyncioActor
from .in_asyncio import AsyncioCancelled as AsyncioCancelled
from .in_asyncio import ExtraMissing as ExtraMissing
from .in_asyncio import in_trio as in_trio
from .in_asyncio import run_asyncio as run_asyncio
from .in_thread import ThreadActor as ThreadActor
from .in_thread import ThreadContext as ThreadContext
from .in_thread import ThreadSpec as ThreadSpec
from .in_thread import run_in_thread as run_in_thread
from .in_thread import thread_child as thread_child
