"""Actors around blocking calls, which run in threads.

No other module of `actors` runs a user's code outside trio.
"""

from .foreign_call import ForeignTimeout as ForeignTimeout
from .foreign_call import LateCall as LateCall
from .foreign_call import TooManyAbandoned as TooManyAbandoned
from .foreign_call import late_calls as late_calls
from .threads import ThreadActor as ThreadActor
from .threads import ThreadContext as ThreadContext
from .threads import ThreadSpec as ThreadSpec
from .threads import run_in_thread as run_in_thread
