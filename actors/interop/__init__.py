"""Actors around code that is not trio's: blocking calls in threads, coroutines of asyncio.

No other module of `actors` runs a user's code outside trio.
"""

from .asyncio_ import AsyncioActor as AsyncioActor
from .asyncio_ import AsyncioCancelled as AsyncioCancelled
from .asyncio_ import ExtraMissing as ExtraMissing
from .asyncio_ import in_trio as in_trio
from .asyncio_ import run_asyncio as run_asyncio
from .foreign_call import ForeignTimeout as ForeignTimeout
from .foreign_call import LateCall as LateCall
from .foreign_call import TooManyAbandoned as TooManyAbandoned
from .foreign_call import late_calls as late_calls
from .threads import ThreadActor as ThreadActor
from .threads import ThreadContext as ThreadContext
from .threads import ThreadSpec as ThreadSpec
from .threads import run_in_thread as run_in_thread
