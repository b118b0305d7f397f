"""Signs that only a model's own input has: turns of chat templates, calls of tools. Data.

Sources: the chat templates published with the models' tokenizers (ChatML and Qwen, Llama 2 and 3, Mistral, Gemma,
DeepSeek, Phi, Command R, Alpaca and Vicuna), OpenAI's Harmony format, Anthropic's text completions and tool calls.
"""

from typing import Final

from .rules import OrderRule, rule

_ROLE: Final = r"(?:system|developer|user|assistant|tool|model|human|ipython|observation|chatbot|bot)"
# A sign that is mentioned, not used.
_ABOUT: Final = (
    r"\b(?:what (?:does|do|is|are)|meaning of|tokeni[sz]ers?|special tokens?|tokens?|chatml|template|format|explain|"
    r"documentation|how (?:do|does|to)|prints?|vocab\w*|delimiters?|tags?|syntax|called|element|config|escape|strip|"
    r"regex|parse|why (?:do|does|is)|difference between)\b[^\n]{0,60}?"
)
_TALKED_OF: Final = ((_ABOUT, -0.3),)

TOKENS: Final[tuple[OrderRule, ...]] = (
    rule(
        "chatml | token | a turn of a chat template",
        rf"<\|(?:(?P<known>im_start|im_end|im_sep|system|user|assistant|developer|endoftext|end_of_text|begin_of_text|"
        rf"start_header_id|end_header_id|eot_id|eom_id|python_tag|end|start|channel|message|return|call|constrain|"
        rf"start_of_turn_token|end_of_turn_token|system_token|user_token|chatbot_token|endofprompt|startoftext|tool\w*|"
        rf"observation|begin\W?of\W?sentence|end\W?of\W?sentence|sep|context|pad|bos|eos|fim\w+)|"
        rf"[a-z_\u2581 ]{{2,40}})\|>(?P<more>[\s]{{0,2}}(?:{_ROLE}\b|<|\w))?",
        {"": 0.5, "known": 0.1, "more": 0.1},
        stems="<| <\uff5c",
        raw="<(?:[|]|\uff5c)",
        before=_TALKED_OF,
    ),
    rule(
        "inst | token | a turn of a chat template",
        r"(?:\[/?(?:inst|tool_calls|available_tools|tool_results|system_prompt|/?sys)\]|<</?sys>>)"
        r"(?P<more>\s{0,2}(?:<|\w))?",
        {"": 0.55, "more": 0.15},
        stems="[inst [/inst [tool_ [available_t [/available_t [/tool_ [system_p [/system_p [sys] <<sys <</sys",
        before=_TALKED_OF,
    ),
    rule(
        "turn | token | a turn of a chat template",
        r"<(?:/?(?:start_of_turn|end_of_turn|start_of_image|end_of_utterance|begin_of_text|end_of_text)>)"
        rf"(?P<more>\s{{0,2}}(?:{_ROLE}|<|\w))?",
        {"": 0.55, "more": 0.15},
        stems="<start_of_turn <end_of_turn </start_of_turn </end_of_turn <start_of_image <end_of_utt <begin_of_text "
        "<end_of_text",
        before=_TALKED_OF,
    ),
    rule(
        "call | token | a tool call in the form models write them",
        r"</?(?:antml:)?(?:tool_calls?|tool_response|tool_use|tool_result|tool_output|function_calls?|"
        r"function_results?|invoke(?= (?:name|tool)\b| {0,2}>)|parameter(?= name=)|function=[\w.-]{1,64}|tool_code|"
        r"execute_command)(?:[\s=][^<>\n]{0,160})?>?(?=\s{0,4}(?P<body>[{<\[]))?",
        {"": 0.5, "body": 0.2},
        stems="<tool_ </tool_ <function_ </function_ <function= <invoke </invoke <antml: </antml: <parameter",
        before=((_ABOUT, -0.2),),
    ),
    rule(
        "tag | system | a tag that speaks as the system",
        r"</?(?:(?P<compound>(?:system|developer|admin|assistant|user|human|prompt|root|hidden|secret|new|priority|ai|"
        r"llm|model|agent)[_-](?:prompt|message|override|instructions?|mode|note|update|reminder|command|directive|"
        r"input|query|turn|task|admin|rules?|policy|alert|notice))|(?P<bare>system|developer|instructions?|admin|"
        r"assistant|override|important|prompt|jailbreak|root|human))(?:\s[^<>\n]{0,80})?>",
        {"": 0.0, "compound": 0.55, "bare": 0.25},
        stems="<system </system <developer </developer <admin </admin <assistant </assistant <user_ </user_ <user- "
        "<human "
        "</human <prompt </prompt <root </root <hidden_ <secret_ <new_ <priority_ <instruction </instruction <override "
        "</override <important </important <jailbreak </jailbreak <ai_ <ai- <llm_ <llm- <model_ <agent_ <agent-",
        before=_TALKED_OF,
    ),
    rule(
        "sentence | token | the end and a new beginning of a model's input",
        r"</?(?:s|bos|eos)>(?P<more>\s{0,2}(?:</?(?:s|bos|eos|start_of|\|)|\[/?inst|(?:system|user|human|"
        r"assistant)\b))?",
        {"": 0.2, "more": 0.4},
        stems="<s> </s> <bos> <eos>",
        before=_TALKED_OF,
    ),
    rule(
        "heading | token | a turn of an instruction template",
        r"#{2,4} {0,2}(?:(?P<turn>instruction|system|human|assistant|response|developer|system prompt|new "
        r"instructions?)|(?P<mild>instructions|input|user|output|"
        r"context))\s{0,2}:(?P<next>[^#]{0,240}###? {0,2}(?:response|assistant|output|answer|user|human))?",
        {"": 0.0, "turn": 0.5, "mild": 0.3, "next": 0.2},
        stems="##",
        raw="## {0,2}(?:$|[A-Za-z]{1,12}$|instruc|system|human|assist|respon|develop|input|user|output|context|new)",
        before=((_ABOUT, -0.3), ("#", -1.0)),
    ),
    rule(
        "human | token | a user's turn of a transcript",
        r"(?:human|user):",
        {"": 0.05},
        stems="human: user:",
        before=((r"(?:\n\s{0,4}\n|\\n\\n)\s{0,4}", 0.4),),
    ),
    rule(
        "reply | token | a turn of a transcript",
        r"assistant:(?=\s{0,2}(?P<sure>(?:sure|of course|certainly|absolutely|understood|ok|yes|i will|i have|"
        r"here)\b))?",
        {"": 0.05, "sure": 0.1},
        stems="assistant:",
        before=((r"(?:\n\s{0,4}\n|\\n\\n)\s{0,4}", 0.4),),
    ),
    rule(
        "bing | token | a turn of a chat template",
        r"(?:\[(?:system|assistant|user)\]\(#\w+|\{\{#(?:system|user|assistant)~?\}\})",
        {"": 0.6},
        stems="[system](# [assistant](# [user](# {{#system {{#user {{#assistant",
        before=_TALKED_OF,
    ),
)
