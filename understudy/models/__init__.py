"""Models and their providers, one provider a module; all speak the vocabulary of `model`.

Agents, conversations and tools are unknown here: a model gets a request and streams a turn.
"""

from understudy.models.model import AgentCard as AgentCard
from understudy.models.model import ChatMessage as ChatMessage
from understudy.models.model import FileCard as FileCard
from understudy.models.model import Handoff as Handoff
from understudy.models.model import Model as Model
from understudy.models.model import ModelError as ModelError
from understudy.models.model import ModelEvent as ModelEvent
from understudy.models.model import ModelUnavailable as ModelUnavailable
from understudy.models.model import Reply as Reply
from understudy.models.model import TextDelta as TextDelta
from understudy.models.model import Thought as Thought
from understudy.models.model import ToolCard as ToolCard
from understudy.models.model import ToolRequest as ToolRequest
from understudy.models.model import Turn as Turn
from understudy.models.model import Usage as Usage
from understudy.models.model import tool_message as tool_message
from understudy.models.offline import OfflineModel as OfflineModel
