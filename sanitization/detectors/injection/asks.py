"""Rules for requests: for the assistant's instructions, its knowledge, its tools. Data.

Also for ways to get attention from inside a document: addressing the machine that reads it, and speaking as the system.
"""

from typing import Final

from .orders import MACHINE, READS
from .rules import OrderRule, rule

_REVEAL: Final = (
    r"(?P<rare>reveal(?:ing)?|leak(?:ing)?|divulge|disclos(?:e|ing)|recite|expose|exposing|dump(?:ing)?|exfiltrate|"
    r"spill|regurgitate|rev3al|reproduce)|print|repeat|show|output|display|tell|give|share|write|echo|list|copy|"
    r"provide|quote|translate|encode|describe|paraphrase|return|send|spell|paste|type|report|summari[sz]e|present|read|"
    r"post|emit|state|render|convert|include|explain|use|say|add|append"
)
_REVEALS: Final = (
    "reveal revealing leak leaking divulge disclose disclosing recite expose exposing dump dumping exfiltrate spill "
    "regurgitate reproduce print repeat show output display tell give share write echo list copy provide quote "
    "translate encode describe paraphrase return send spell paste type report summarize summarise present read post "
    "emit state render convert include explain say add append"
)
_TO_ME: Final = (
    r"(?:me|us|back|out|to me|verbatim|exactly|literally|in full|everything|here|it|the|of|all|entire|whole|full|"
    r"complete|exact|raw|actual|precise|every word|every line|any|a copy|copy|wording|contents?|text|first \w+ "
    r"(?:words|lines|characters|tokens|sentences)|beginning|start|list|about|what|is|are|were|was|in|from|with|that|"
    r"these|this|line by line|word for word|and|or|current|full text|details?|version|part|parts)"
)
_HIDDEN: Final = (
    r"(?P<hidden>system|hidden|secret|initial|original|internal|developer|underlying|confidential|base|private|root|"
    r"starting|previous|prior|startup|custom|default|core|pre-?existing|earlier|preceding|first)"
)
_TOLD: Final = (
    r"(?P<prompt>pre-?prompt|meta-?prompt|prompts?|system message)|(?P<told>instructions?|guidelines|"
    r"directives|rules|configuration|config|preamble|programming|constraints|context window|context|policies|policy|"
    r"messages?|setup)|(?P<key>keys?|passwords?|secrets?|credentials|passcode)"
)
_HIDDEN_WORDS: Final = (
    "system hidden secret initial original internal developer underlying confidential base private root starting "
    "previous prior startup custom default core pre existing earlier preceding first"
)
_SMALL_WORDS: Final = (
    "me us back out to verbatim exactly literally in full everything here it the of all entire whole complete exact "
    "raw actual precise every word line any a copy wording content contents text your its their this that these about "
    "what is are were was from with for list and or current details version part parts beginning start lines words "
    "characters tokens sentences ten twenty fifty hundred 10 20 50 100 200 500 1000 by s"
)
_SENSITIVE: Final = (
    r"(?P<private>conversations?|chat history|chat log|chats?|history|system prompt|api[ _-]?keys?|passwords?|"
    r"credentials|secrets?|tokens?|private keys?|ssh keys?|session (?:id|cookie|token)s?|cookies|env(?:ironment)? "
    r"(?:variables?|vars)|\.env|user(?:'s)? (?:data|info\w*|details|messages?|emails?|input|secrets|name|query|"
    r"location)|personal (?:data|info\w*|details)|memory|memories|inbox|contacts?(?: list)?)|(?P<plain>threads?|"
    r"emails?|messages?|data|prompt)"
)
_READERS: Final = (
    "ai ais llm llms language large chatbot chatbots assistant assistants agent agents model models bot bots gpt "
    "chatgpt claude gemini copilot automated"
)
_READER_KINDS: Final = (
    "assistant assistants agent agents model models system systems bot bots chatbot chatbots tool tools reviewer "
    "reviewers crawler crawlers summarizer summarizers summariser summarisers reader readers screener screeners "
    "language"
)
_READING: Final = (
    "reading processing process processes summarizing summarising summarize summarizes summarise summarises parsing "
    "parse parses scanning scan scans viewing accessing access accesses evaluating evaluate evaluates analyzing "
    "analysing analyze analyzes analyse analyses reviewing review reviews translating indexing crawling browsing "
    "screening ingesting handling grading scoring assessing encountering encounter encounters seeing see sees "
    "interpreting looking at that who which is are read reads visit visits"
)
ASKS: Final[tuple[OrderRule, ...]] = (
    rule(
        "reveal | extraction | asks for the assistant's own instructions",
        rf"(?:{_REVEAL})\b(?: (?:{_TO_ME}|(?P<your>your|its|ur|the (?:model|assistant|ai)'s)|{_HIDDEN}))*"
        rf" (?:{_TOLD})\b(?! (?:for|on how|for how|template|engineering|example)\b)",
        {"": 0.05, "rare": 0.15, "hidden": 0.25, "your": 0.3, "prompt": 0.2, "told": 0.15, "key": 0.1},
        phrase=(
            _REVEALS,
            f"*{_SMALL_WORDS} {_HIDDEN_WORDS} ur model assistant ai",
            "prompt prompts preprompt metaprompt message messages instruction instructions guidelines directives rules "
            "configuration config preamble programming constraints context policies policy setup key keys password "
            "passwords secret secrets credentials passcode",
        ),
        before=((r"\b(?:how (?:do|can|to|does|would)|what|why|should i|where)\b[^.!?\n]{0,24}?", -0.3),),
    ),
    rule(
        "contents | extraction | asks for the assistant's own instructions",
        r"(?:contents?|text|words?|copy|wording|parts?|lines?|details|rest) (?:of|in|from) your (?:(?:full|entire|"
        r"complete|whole|exact|own|current) )*(?:(?P<hidden>system|hidden|secret|initial|original|internal|developer) "
        r")*(?:configuration|config|prompts?|instructions?|context(?: window)?|memory|guidelines|preamble|system "
        r"message|programming|directives|rules)\b",
        {"": 0.5, "hidden": 0.1},
        phrase=(
            "content contents text word words copy wording part parts line lines details rest",
            "of in from",
            "your",
            "*full entire complete whole exact own current system hidden secret initial original internal developer",
            "configuration config prompt prompts instruction instructions context memory guidelines preamble message "
            "programming directives rules",
        ),
    ),
    rule(
        "what | extraction | asks what the assistant was told",
        r"(?:what|which)(?:'s|'re)?(?:(?: (?:is|are|was|were|do|does|did|the|all|of|exact|full|current|complete|say|"
        r"says|in))*(?: (?P<your>your)(?: (?:exact|full|current|complete|own))*)(?: (?P<hidden>system|hidden|secret|"
        r"initial|original|"
        r"internal|developer|first|starting|underlying|core))*"
        r" (?:(?P<prompt>prompts?|system message|instructions|directives|programming|preamble)|(?P<rules>guidelines|"
        r"rules|"
        r"configuration|constraints|restrictions))\b(?P<about> (?:for|on|about|regarding|to) (?!me|this chat|this "
        r"conversation))?"
        r"|(?: (?:is|are|was|were|kind of|sort of|of|the|exact|system|initial|original|specific|hidden|secret))*"
        r" (?P<given>instructions|rules|prompts?|guidelines|directives|text|message)\b (?:have |had |were |are |did |"
        r"was |has )"
        r"(?:you)(?: (?:been|already|just|initially|originally))*(?: (?:given|told|receiv\w+|follow\w*|get|have|"
        r"provided|shown|fed))+)",
        {"": 0.0, "your": 0.2, "hidden": 0.2, "prompt": 0.3, "rules": 0.15, "about": -0.3, "given": 0.5},
        phrase=(
            "what which",
            "*s re is are was were do does did the all of exact full current complete say says in your own system "
            "hidden secret initial original internal developer first starting underlying core kind sort specific",
            "prompt prompts message instructions directives programming preamble guidelines rules configuration "
            "constraints restrictions text",
        ),
    ),
    rule(
        "above | extraction | asks for the text above",
        rf"(?:{_REVEAL})\b(?: (?:{_TO_ME}|{_HIDDEN}|your|last))*? (?:(?:text|words?|contents?|everything|messages?|"
        rf"lines|"
        r"sentences|conversation|all|instructions?|prompt|paragraphs?|what|tokens|anything)(?: (?:(?:that|which|it) "
        r")?(?:(?:is|was|are|were|comes?|"
        r"came|appears?|precede[sd]?|preceding|written|stated|said|sent|you (?:see|were given|received|have)|i sent|"
        r"we) )*)?"
        r" ?(?P<above>above|preceding|prior|precede[sd]?)\b"
        r"|(?P<above2>above|preceding|previous|prior) (?:text|words|contents?|messages?|lines|sentences|conversation|"
        r"paragraphs?|section)\b)",
        {"": 0.0, "rare": 0.2, "above": 0.35, "above2": 0.3},
        phrase=(
            "reveal revealing leak leaking divulge disclose disclosing recite expose dump dumping regurgitate "
            "reproduce print repeat show output display tell echo copy quote return spell paste type write translate "
            "encode summarize summarise",
            "*me us back out to verbatim exactly literally in full the all of entire whole complete exact raw every "
            "word text words content contents everything message messages conversation lines sentences instructions "
            "instruction prompt that which is was your from hidden system what",
            "above preceding precedes preceded previous prior",
        ),
        before=((r"\b(?:how (?:do|can|to|does|would)|why|should i)\b[^.!?\n]{0,24}?", -0.3),),
    ),
    rule(
        "send | exfiltration | orders to send what was said or is known",
        rf"(?:(?P<always>exfiltrate|exfiltrating|smuggle)|send|post|forward|e-?mail|upload|transmit|submit|deliver|"
        rf"append|embed|insert|attach|pass|leak|report|encode|put|include|add|share|copy|paste|render|make|dump|ship|"
        rf"relay)\b(?: (?:the|all|any|your|this|our|entire|whole|full|complete|of|user's|user|users'|current|previous|"
        rf"every|my|their|those|these|contents?|text|a copy|copy|any|me|recent|last|stored|sensitive|secret|"
        rf"confidential|private|user-provided|received|available|other|and))* (?:{_SENSITIVE})\b",
        {"": 0.0, "always": 0.4, "private": 0.25, "plain": 0.1},
        phrase=(
            "exfiltrate exfiltrating smuggle send post forward email mail upload transmit submit deliver append embed "
            "insert attach pass leak encode include copy paste relay dump",
            "*the all any your this our entire whole full complete of user's user users current previous every my "
            "their content contents text a copy me recent last stored sensitive secret confidential private chat "
            "system personal session s environment ssh",
            "conversation conversations history log prompt api apikey apikeys keys password passwords credentials "
            "secrets secret token tokens cookie cookies env memory memories inbox contacts thread threads emails data "
            "messages key",
        ),
    ),
    rule(
        "image | exfiltration | hides data in the address of an image or link",
        r"!\[[^\]\n]{0,80}\]\(\s{0,2}<?[a-z]{2,8}://[^)\s{<$]{0,160}[{<$]{1,3}[^)\s]{0,16}?(?P<data>history|"
        r"conversation|data|secret|key|token|prompt|chat|message|context|info|password|summary|base64|encoded|content|"
        r"leak|query|answer|response|user)",
        {"": 0.1, "data": 0.45},
        stems="![",
    ),
    rule(
        "note | addressed | speaks to the machine that reads the text",
        rf"(?P<note>notes?|messages?|attention|notice|instructions?|memo|reminder|commands?|directives?|orders?|dear|"
        rf"attn|request|warning|important|urgent|hello|hi|hey|alert|hint|info)(?:(?: (?:to|for|from the author to|"
        rf"addressed to|all|any))+ |[:,\s-]{{1,4}})(?P<machine>{MACHINE})(?! (?:enthusiast|engineer|research\w*|"
        rf"developer|student|compan\w+|expert|beginner|professional|startup|team|lead|users?|course|community|ethic\w*|"
        rf"safety|policy|training|tuning|mechanism|is|are)s?\b)(?P<reads> {READS})?(?P<colon>[\s*_)\]]{{0,4}}[:,—-])?",
        {"": 0.3, "reads": 0.25, "colon": 0.2},
        phrase=(
            "note notes message messages attention notice instruction instructions memo reminder command commands "
            "directive directives order orders dear attn request warning important urgent hello hi hey alert hint info",
            "*to for from the all any an every our author addressed large",
            "ai ais a.i llm llms gpt language chatbot chatbots assistant assistants chatgpt gpt-4 gpt4 gpt-5 claude "
            "gemini copilot automated virtual web browsing agent agents bot bots models",
        ),
    ),
    rule(
        "ifyou | addressed | speaks to the machine that reads the text",
        rf"(?:if|since|because|as|when) (?:you(?:'re| are| happen to be)(?: (?:indeed|in fact|currently|now|"
        rf"actually))?|this is|this (?:text|page|document|message|email|file|content) is(?: being)? (?:read|processed|"
        rf"summari[sz]ed|parsed|analy[sz]ed|reviewed|evaluated|handled) by) (?:an? |the |some )?(?:(?:automated|"
        rf"artificial|smart|helpful) )?{MACHINE}(?! (?:enthusiast|engineer|research\w*|developer|student|compan\w+|"
        rf"expert|beginner|professional|startup|team|lead|user|newbie|person|fan)s?\b)(?P<reads> {READS})?",
        {"": 0.4, "reads": 0.2},
        phrase=(
            "if since because as when",
            "you you're this",
            "*are re happen to be indeed in fact currently now actually is being text page document message email file "
            "content read processed summarized summarised parsed analyzed analysed reviewed evaluated handled by an a "
            "the some artificial smart helpful any large automated",
            "ai llm gpt language chatbot assistant chatgpt gpt-4 claude gemini copilot intelligence virtual web "
            "browsing agent bot system models model tool reviewer",
        ),
    ),
    rule(
        "reader | addressed | speaks to the machine that reads the text",
        rf"(?:ai|ais|llms?|language|large|chatbots?|assistants?|agents?|models?|bots?|gpt|chatgpt|claude|gemini|"
        rf"copilot|automated)\b"
        rf"(?:[ -](?:assistants?|agents?|models?|systems?|bots?|chatbots?|tools?|reviewers?|crawlers?|summari[sz]ers?|"
        rf"readers?|screeners?|language))*(?:(?P<reads>,? {READS})(?P<this> (?:this|the|these|my|our|it)\b)"
        r"(?=[^.!?\n]{0,80}?(?P<must>\b(?:must|should|shall|have to|has to|needs? to|are (?:required|instructed|"
        r"asked|to)|is to|please|"
        r"ignore|disregard|say|state|add|include|output|recommend|rate|give|send|will)\b|[:,]))?"
        r"|(?P<colon>\s{0,2}:)\s{0,2}(?P<order>please|you|your|ignore|disregard|the|do not|delete|send|forward|reply|"
        r"respond|"
        r"say|output|add|include|call|run|execute|always|never|stop|print|before|instead|from now)\b)",
        {"": 0.0, "reads": 0.25, "this": 0.1, "must": 0.25, "order": 0.3},
        phrases=(
            (_READERS, f"*{_READER_KINDS}", _READING, f"*{_READING}", "this the these my our it"),
            (
                _READERS,
                f"*{_READER_KINDS}",
                ":please you your ignore disregard the do delete send forward reply respond say output add include "
                "call run execute always never stop print before instead from",
            ),
        ),
        before=((r"(?:\[//\]: {0,2}#? {0,2}[(\"']|<!--)\s{0,4}", 0.25),),
    ),
    rule(
        "system | system | speaks as the system",
        r"(?P<who>system|admin|administrator|developer|root|operator|sysadmin|openai|anthropic|security)"
        r"(?:[ _-](?P<label>override|update|notice|alert|command|directive|instructions?|message|note|prompt|reset|"
        r"notification|announcement|administrator|admin|policy|task|request|says|order|log|event|emergency))*"
        r"\s{0,2}(?:(?P<closed>[\])}>*]{1,3})\s{0,2}:?|(?P<colon>:))",
        {"": 0.0, "label": 0.15, "closed": 0.05, "colon": 0.05},
        stems="system admin administrator developer root operator sysadmin openai anthropic security",
        raw=r"(?:system|admin|developer|root|operator|sysadmin|openai|anthropic|security)[A-Za-z]{0,12}"
        r"(?:[ _-]{1,4}[A-Za-z]{1,16}){0,3}(?:[ _-]{0,4}$|[^A-Za-z0-9$]{0,3}[\])}>*:])",
        before=(
            (r"(?:^|\n)[\s>#*_-]{0,8}[<\[({]?", 0.2),
            (r"[<\[({]\s{0,2}(?:[a-z]{1,12} ){0,2}", 0.2),
            (r"(?:important|urgent|attention|critical|warning|---|===|###|\*\*|!!)[\s!:*#-]{0,6}", 0.2),
        ),
    ),
    rule(
        "fence | system | fakes the end of the prompt",
        r"(?:end|begin|beginning|start|stop)(?: of| the| my)* (?:(?:new|real|actual|trusted|untrusted|admin|system|"
        r"developer|user|original|official|special|hidden|secret|privileged) ){0,3}(?:(?P<prompt>prompt|instructions?|"
        r"system message|override|user input|user query|untrusted \w+|directives?)|(?P<mild>context|document|"
        r"conversation|data|input|session|web ?page|email|tool (?:output|result)|search "
        r"results?))\b(?P<closed>[\s]{0,2}(?:[-=#*_>\]|}]{2,}|[>\]]))?",
        {"": 0.05, "prompt": 0.15, "mild": 0.05, "closed": 0.2},
        phrase=(
            "end begin beginning start stop",
            "*of the my new real actual trusted untrusted admin system developer user original official special hidden "
            "secret privileged tool search web",
            "prompt instruction instructions message override input query directive directives context document "
            "conversation data session webpage page email output result results content",
        ),
        before=((r"(?:[-=#*_<|]{2,}|[\[<])\s{0,2}", 0.25),),
    ),
    rule(
        "conceal | concealment | wants it kept from the user",
        r"(?:(?:tell|telling|inform|informing|mention|mentioning|notify|notifying|alert|alerting|warn|warning|reveal|"
        r"revealing|disclose|"
        r"disclosing|report|reporting|show|showing|let|ask|asking|say)(?: (?:this|that|it|anything|any of this|to|"
        r"about|these|them|instructions?|the"
        r" existence of|message|fact))* (?:the |any )?(?P<user>user|users|human|humans|customer|reader|operator|"
        r"owner)\b"
        r"|without(?: the)? (?P<without>confirmation|(?:user(?:'s)? )(?:confirmation|consent|knowledge|approval|"
        r"permission)|"
        r"(?:asking|telling|informing|notifying|alerting|warning|confirming)(?: with)? (?:the )?(?:user|anyone|human|"
        r"them)))",
        {"": 0.0, "user": 0.05, "without": 0.35},
        phrase=(
            "tell telling inform informing mention mentioning notify notifying alert alerting warn warning reveal "
            "revealing disclose disclosing report reporting show showing let ask asking say without",
            "*this that it anything any of to about these them instruction instructions the existence message fact "
            "asking telling informing notifying alerting warning confirming with user's",
            "user users human humans customer reader operator owner confirmation anyone them consent",
        ),
        before=((r"\b(?:do not|don't|never|not|without|must not|dont|shouldn't|should not|avoid)(?: ever)? ", 0.35),),
    ),
    rule(
        "tool | tool | orders a tool to be used",
        r"(?:call|invoke|execute|run|trigger|use)(?: (?:the|your|a|this))* (?:(?P<of>tool|plugin|action)s?|(?:function|"
        r"command|api)s?)[\s`\"':]{1,4}(?P<tool>[a-z_.]{0,24}(?:delete|drop|destroy|wipe|transfer|purge|shutdown|"
        r"shut_down|exec|shell|remove|send|forward|email|payment|pay|admin|grant|upload|read_file|write|reset|export|"
        r"fetch)[a-z_.]{0,24})\b",
        {"": 0.15, "of": 0.15, "tool": 0.15},
        phrase=(
            "call invoke execute run trigger use",
            "*the your a this",
            "tool function plugin action command api tools functions plugins actions commands",
        ),
        before=(
            (r"(?:^|[.!?:\n]|\b(?:now|and|then|must|please|immediately)) {0,2}", 0.1),
            (r"\b(?:how (?:do|can|to)|why|my|test)\b[^.!?\n]{0,24}?", -0.2),
        ),
    ),
    rule(
        "files | exfiltration | asks for files with secrets",
        r"(?:~/\.(?:ssh|aws|config|gnupg|netrc|kube|cursor|docker)\b|id_(?:rsa|ed25519)|/etc/(?:passwd|shadow)|"
        r"/proc/self/environ|\.env\b(?![a-z(\[.])|mcp\.json)",
        {"": 0.1},
        stems="~/.ssh ~/.aws ~/.config ~/.gnupg ~/.netrc ~/.kube ~/.cursor ~/.docker id_rsa id_ed25519 /etc/passwd "
        "/etc/shadow "
        "/proc/self/environ .env mcp.json",
        before=(
            (
                r"\b(?:read|cat|open|print|send|upload|pass|include|post|dump|show|copy|attach|fetch|get|output|paste|"
                r"leak|exfiltrate|load|contents? of)\b[^.!?\n]{0,32}?",
                0.25,
            ),
            (r"\b(?:how (?:do|can|to)|why|cannot|can't)\b[^.!?\n]{0,24}?", -0.2),
        ),
    ),
    rule(
        "trigger | trigger | waits for the user to say something",
        r"(?:when(?:ever)?|if|once|as soon as|next time|every time|each time)(?: the| a| any)? user(?:s)? (?:next |"
        r"ever |later )?(?:says?|asks?|types?|mentions?|writes?|sends?|enters?|requests?|repl(?:y|ies)|thanks|uploads?|"
        r"opens?|inputs?|responds?|confirms?)\b(?=[^\n]{0,140}?(?P<act>\b(?:secretly|silently|covertly|send|forward|"
        r"delete|execute|run|call|transfer|reveal|leak|email|upload|exfiltrate|ignore|insert|append|always (?:say|"
        r"reply|answer|recommend))\b))?",
        {"": 0.15, "act": 0.25},
        phrase=(
            "when whenever if once as soon next every each",
            "*as time the a any",
            "user users",
            "*next ever later",
            "says say asks ask types type mentions mention writes write sends send enters enter requests request "
            "replies reply thanks uploads upload opens open inputs input responds respond confirms confirm",
        ),
    ),
)
