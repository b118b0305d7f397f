"""Tools that agents call, the decorator `tool` that makes one of a function, and how their arguments are read.

When a tool is called, approved or cut off is decided in `chat.run`, not here.
"""

from understudy.tools.context import Files as Files
from understudy.tools.context import ServerView as ServerView
from understudy.tools.context import StoredFile as StoredFile
from understudy.tools.context import ToolContext as ToolContext
from understudy.tools.effects import Done as Done
from understudy.tools.effects import NotDone as NotDone
from understudy.tools.effects import Unknown as Unknown
from understudy.tools.errors import ToolError as ToolError
from understudy.tools.result import NextStep as NextStep
from understudy.tools.result import ToolResult as ToolResult
from understudy.tools.schema import Param as Param
from understudy.tools.tool import Tool as Tool
from understudy.tools.tool import tool as tool
