"""An agent without tools: the model is too small to call any."""

from understudy import Agent, ModelSettings

agent = Agent(
    "plain",
    instructions="You are a friendly assistant. Answer in one or two short sentences.",
    settings=ModelSettings(max_output=150),
)
