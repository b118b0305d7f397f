"""The UI message stream of the Vercel AI SDK: `/api/ui`, for React pages that use `useChat`.

What a request stands for, and which run its answer is of, is decided here; `chunks` translates the events of a run.
"""

from typing import Final

from understudy.extension import Extension


class Ui(Extension):
    """See the module."""

    name = "ui"
    about = "chat from React pages, by the Vercel AI SDK"


EXTENSION: Final = Ui()
