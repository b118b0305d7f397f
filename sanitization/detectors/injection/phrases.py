"""Orders against earlier orders, in English: verb, qualifier and object, each with its weight. Data.

The grammar, not the sentences: some hundred verbs and turns, qualifiers (*all*, *previous*, *your*) and objects make
up more wordings than a list could hold. An order needs an object that only a machine under instructions has, or a
qualifier that says so: *ignore the last row* and *disregard my previous question* stay below what counts.
"""

# ruff: noqa: SIM905 - listings are easier to read than lists

from typing import Final

from .rules import OrderRule, rule, spelled, words

END: Final = "(?![a-z0-9])"
"""The end of a word, which in leetspeak may be a sign."""

# Objects: a model's instructions; possibly the rules of a game; possibly a friend's e-mail.
TOLD_TO_IT: Final = words(
    "instruction instructions instructs directive directives guideline guidelines prompt prompts preprompt metaprompt "
    "programming system_message system_messages system_prompt system_prompts guardrails guardrail pretraining "
    "directions briefing system_rules system_instructions",
    slips=True,
)
RULES: Final = words(
    "rule rules restriction restrictions constraint constraints policy policies command commands order orders "
    "limitation limitations protocol protocols safeguard safeguards safety filters ethics training safety_measures "
    "context conversation persona role tasks task chat_history configuration principles boundaries",
    slips=True,
)
WRITTEN: Final = words(
    "message messages text texts request requests input inputs content contents question data chat dialogue "
    "discussion statement statements words history output assignment sentences sentence paragraphs"
)
EARLIER: Final = words(
    "previous previously prior preceding earlier above foregoing former past existing initial original before "
    "aforementioned precedent preexisting old prevoius priviously previus previos antecedent predefined preset "
    "pre-existing hitherto last_given up_to_now so_far",
    slips=True,
)
ALL: Final = words("all any every each entire everything anything whatever both al literally_all whatsoever")
YOURS: Final = words("your ur yr the_model's the_assistant's the_ai's its thy system systme default built-in builtin")
SAFETY: Final = words("safety security content ethical moral censorship moderation alignment")
OWN: Final = words("my our mine")
FILLER: Final = words(
    "the of these those such other or and_all and_any and_previous and_prior and_current and_future this that current "
    "kind hidden secret developer developer's openai's openai company core internal set given so-called you system's "
    "user user's assistant's ai a an following long stupid silly old boring various related active strict on in "
    "programmed provided stated listed written received behavioral behavioural operating base root default about "
    "supposed with"
)

# "… you were given", "… above", but not "… above the sink".
_ABOVE: Final = spelled("above")
AFTERWARDS: Final = (
    rf"(?:(?:that|which) )?(?:{_ABOVE}(?! (?:the|a|an|my|our|your|each|every)\b)|before(?! (?:the|a|an|my|our|you|i|"
    rf"we)\b)|so far|previously|earlier|prior to (?:this|now)|up to (?:now|this point|here)|until now|preceding|"
    rf"you(?:'ve| have| had| were| are| got)?(?: (?:been|already|previously|ever))*(?: (?:given|told|received|provided|"
    rf"taught|following|programmed|trained|instructed|got|have|shown))|(?:i|we|they|openai|anthropic|google|anyone|"
    rf"someone) (?:have |has |had )?(?:previously |ever )?(?:gave|given|told|set|provided|wrote|programmed|put)(?: "
    rf"(?:to )?you)?|given(?: to you)?|from (?:before|earlier|the system|your developers?|openai|anthropic|the "
    rf"developers?)|in your (?:system )?(?:prompt|context|memory)|(?:was|were|are|have been|has been|is) (?:given|set|"
    rf"provided|told|placed|imposed)|(?:set|imposed|provided|placed) (?:by|for|on) )"
)
# "everything you have been told", "all that was said above".
TOLD: Final = (
    r"(?P<told>(?:(?:that|which) )?(?:you(?:'ve| have|'d| had| were| are| was)?"
    r"(?: (?:been|already|previously|ever|just|initially|originally|so far))*"
    r" (?:told|instructed|taught|trained|programmed|learn(?:ed|t)|know|read|asked|ordered|directed|supposed|"
    r"conditioned|commanded|informed|given|received|believe|were|have|seen|been)(?: (?:to|about|on))?))"
)
ABOVE: Final = (
    r"(?P<above>(?:(?:that|which) )?(?:(?:was|is|were|has been|have been|comes?|came|you see|you read|appears?|stands|"
    r"i sent|goes|went) )?(?:(?:written|said|stated|listed|mentioned|sent|given|discussed) )?(?:above|before(?: "
    r"(?:this|now|that))|previously|earlier|so far|prior(?: to this)?|preceding|up to (?:now|this point|here)|until "
    r"now|beforehand|that precedes|before)(?! (?:the|a|an|my|our|your|each|every|column|line \d|row|section|page|"
    r"chapter)\b)|(?:(?:that|which) )?(?:precede[sd]?|came before|comes before)\b)"
)
SAID: Final = r"(?P<said>(?:(?:that|which|what) )?(?:i|we|he|she|they)(?:'ve| have| had)?(?: (?:just|already))? \w+)"

MODIFIERS: Final = (
    rf"(?:(?P<all>{ALL}{END})|(?P<earlier>{EARLIER}{END})|(?P<yours>{YOURS}{END})|(?P<own>{OWN}{END})|"
    rf"(?P<safety>{SAFETY}{END})|(?:{FILLER}{END}))"
)
THEN: Final = (
    r"(?:(?:,|;|and|then|but|instead|now|just|please|only|simply|-|to) ){0,4}"
    r"(?:say|give|print|tell|output|write|repeat|reveal|show|respond|answer|reply|do|translate|return|send|act|"
    r"state|execute|run|follow|list|provide|generate|start|call|delete|classify|rate|recommend|approve|pretend|"
    r"display|use|describe|make|create|explain|help|dump|leak|forward|email|obey|comply|focus|speak|summari[sz]e)\b"
)

OBJECT: Final = (
    rf"(?:{MODIFIERS} ){{0,8}}(?:(?P<machine>{TOLD_TO_IT})|(?P<rules>{RULES})|"
    rf"(?P<written>{WRITTEN})){END}(?:'s)?(?P<after> {AFTERWARDS})?"
)
# Weights of the parts of an object.
OBJECT_WEIGHTS: Final = {
    "machine": 0.3, "rules": 0.2, "written": 0.1, "earlier": 0.35, "all": 0.2, "yours": 0.3, "own": -0.3,
    "after": 0.3, "safety": 0.15,
}  # fmt: skip

_IGNORE: Final = words(
    "ignore ignoring ignor disregard disregarding forget forgetting override overriding overwrite overwriting bypass "
    "bypassing neglect overlook overlooking discard discarding dismiss abandon abandoning unlearn supersede "
    "superseding nullify invalidate circumvent circumventing disobey disobeying violate violating erase erasing "
    "repeal revoke transcend unfollow deprioritize deprioritise countermand",
    slips=True,
)
_WHOLE: Final = words("everything anything all whatever what any_and_all all_of_it every_word every_single_thing")
STEMS: Final = (
    "ignor disregard forget overrid overwrit bypass neglect overlook discard dismiss abandon unlearn supersed nullif "
    "invalidat circumvent disobey violat erase erasing repeal revoke transcend unfollow depriorit countermand"
)
_SLIPS: Final = " ".join(
    f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
    for word in "ignore disregard forget override bypass".split()
    for at in range(1, len(word) - 1)
    if word[at] != word[at + 1]
)
# "the model keeps ignoring the prompt", "a prompt that tells it to ignore …": reported speech, not an order.
REPORTED: Final = (
    (r"\b(?:keeps?|kept|stops?|stopped|starts?|started|is|was|are|were|been|sometimes|often|always|by) ", -0.4),
    (
        r"\b(?:tell|tells|telling|told|ask|asks|asking|asked|instruct\w*|trick\w*|makes?|making|gets?|getting|caus\w+|"
        r"convinc\w+|order\w*|forc\w+|persuad\w+) (?:the |an? |your |our |my |their )?(?:\w+ )?"
        r"(?:model|models|llm|llms|ai|assistant|assistants|chatbot|bot|bots|agent|agents|gpt|chatgpt|claude|it|them) "
        r"(?:to )?(?:simply )?",
        -0.6,
    ),
    (
        r"\b(?:can|could|may|might|will|would|does|did|do|should) (?:the|an?|it|they|llms|models|i|we|he|she)(?: "
        r"\w+)? ",
        -0.3,
    ),
    (r"\b(?:why|how) (?:do|does|did|can|to) (?:\w+ ){0,7}", -0.3),
    (r"\b(?:request|requests|attempt|attempts|order|orders|asked|told|tries|try|trying|wants?) to ", -0.2),
)

_NEWS: Final = (
    "new real actual true only sole primary main updated revised hidden secret next current first ultimate system"
)
_TASKS: Final = (
    "task goal instructions instruction objective purpose mission job directive directives role identity persona "
    "order orders rules priority priorities function guidelines programming prompt"
)

OVERRIDES: Final[tuple[OrderRule, ...]] = (
    rule(
        "override | override | tells to ignore earlier instructions",
        rf"{_IGNORE}\b(?: (?:about|of|to follow|from|past|completely|entirely|totally|immediately))?(?:"
        rf" (?:{_WHOLE} )?(?:of )?{OBJECT}"
        rf"| (?:(?:absolutely|literally|just|completely|about) )?(?P<whole>{_WHOLE})(?: of)?(?: (?:the|those|these))?"
        rf"(?: (?:things|stuff|rules|instructions|text|content|words|information))?(?: (?:{TOLD}|{ABOVE}|{SAID}))"
        rf"|(?: (?P<every>all|everything|all of))? (?P<foregoing>(?:the|all|this|that) (?:above|foregoing|preceding|"
        rf"previous|prior|"
        rf"aforementioned))\b(?![ ]\w+ (?:column|row|line|cell))(?P<then>[.;,:!]?[\s\"'*]{{0,4}}{THEN})?)",
        {
            "": 0.0,
            **OBJECT_WEIGHTS,
            "told": 0.6,
            "above": 0.55,
            "said": 0.35,
            "foregoing": 0.3,
            "every": 0.15,
            "then": 0.3,
        },
        stems=f"{STEMS} {_SLIPS}",
        before=REPORTED,
        leet="ignore disregard forget override bypass overlook",
    ),
    rule(
        "drop | override | tells to drop earlier instructions",
        rf"(?:drop|cancel|skip|delete|clear|reset|remove|wipe|void|suspend|scrap|omit|purge|quit|stop|cease|not|never|"
        rf"longer|regardless|despite|without|instead|against|contrary|rather|set aside|put aside|throw away|throw out|"
        rf"no attention|break|breaking|replace|rewrite|change|modify|pay|don't|leave|dont|exit)(?: (?:following|follow|"
        rf"obey|obeying|adhere|adhering|comply|complying|bound|listen|listening|considering|consider|to|by|with|of|"
        rf"than|regard|using|use|aside|away|out|heed|abide|abiding|attention|no|apply|applying|need|respect|respecting|"
        rf"mind|behind|from|have))* {OBJECT}",
        {"": -0.05, **OBJECT_WEIGHTS, "rules": 0.0, "written": -0.2},
        phrase=(
            "drop cancel skip delete clear reset remove wipe void suspend scrap omit purge quit stop cease not never "
            "longer regardless despite without instead against contrary rather set put throw break breaking replace "
            "rewrite change modify pay don't dont leave exit",
            "*following follow obey obeying adhere adhering comply complying bound listen listening considering "
            "consider to by with of than regard using use aside away out heed abide abiding attention no apply "
            "applying need respect respecting mind behind from have your all any every each the these those prior "
            "previous preceding earlier above initial original system existing and former given other current past "
            "safety",
            "instruction instructions directive directives guideline guidelines prompt prompts programming guardrails "
            "rules restrictions policy policies constraints training tasks protocols context safeguards",
        ),
        before=REPORTED,
    ),
    rule(
        "void | override | declares earlier instructions void",
        rf"(?:(?:previous|prior|preceding|earlier|above|initial|original|existing|former|past|your|system|all|these|"
        rf"those|safety|the) ){{0,8}}(?P<object>{TOLD_TO_IT}|{RULES})\b(?: {AFTERWARDS})?[^.!?\n]{{0,32}}?\b(?:(?:are|"
        rf"is|were|was|have been|has been|should be|must be|can be|may be|to be|now|be|being)(?: (?:now|hereby|all|"
        rf"considered|completely|only|just|to be|a|an|therefore))* (?P<void>void|null|cancell?ed|ignored|overrid\w+|"
        rf"superseded|revoked|obsolete|suspended|disregarded|deprecated|lifted|erased|deleted|invalid|outdated|test|"
        rf"fake|forgotten|rescinded|terminated|disabled|removed|reset|overwritten|inactive|deactivated|nullified|"
        rf"irrelevant|dropped|abolished|false|jokes?|replaced|bypassed|unlocked|expired)|(?P<void2>(?:do not|don't|no "
        rf"longer|does not|doesn't) (?:apply|applies|matter|count|bind|exist|hold)|expired?\b|has changed|have "
        rf"changed)|(?P<void3>appl(?:y|ies)|counts?|matters?|binds?)\b)",
        {"": 0.0, "object": 0.1, "void": 0.45, "void2": 0.45, "void3": 0.05},
        phrase=(
            "previous prior preceding earlier above initial original existing former past your these those all the",
            "*previous prior preceding earlier above initial original system safety existing all content and",
            "instruction instructions directive directives guideline guidelines prompt prompts programming guardrails "
            "rules restrictions constraints safeguards task protocols",
        ),
        before=((r"\b(?:if|when|which of|whether|until) ", -0.2), (r"\bnone of (?:the )?", 0.4)),
    ),
    rule(
        "changed | override | puts other instructions in place of earlier ones",
        r"(?:your (?:(?:new|real|actual|true|only|sole|primary|main|updated|revised|hidden|secret|next|current|first|"
        r"ultimate) ){0,3}(?:task|goal|instructions?|objective|purpose|mission|job|directives?|role|identity|persona|"
        r"orders?|rules|priority|priorities|function|guidelines|programming|system prompt|prompt)"
        r"(?:(?P<changed> (?:has|have)(?: now)?(?: been)? (?:changed|updated|replaced|overridden|modified|rewritten|"
        r"reset))"
        r"|(?P<now> (?:is|are)(?: (?:now|to))\b))"
        r"|your (?:(?:new|real|actual|true|only|sole|updated|revised|hidden|secret) ){1,3}(?P<yournew>task|goal|"
        r"instructions?|objective|purpose|mission|directives?|role|identity|persona|orders?|rules|function|system"
        r" prompt|guidelines)\b"
        r"|(?:(?:new|updated|real|actual|revised|additional|secret|hidden|priority|emergency|true|special|urgent|"
        r"important|latest|critical|mandatory) ){1,3}(?:(?:system|admin|developer|user) )?(?:(?P<label>instructions?|"
        r"directives?|prompt|override|orders)|(?P<labelled>task|objective|rules?|mission|command|policy|goal|message))"
        r"\s{0,2}[:=](?![:/=])(?P<colon>)"
        r"|the above(?: (?:text|instructions?|prompt|message|content))? (?:was|is|were|are)(?: (?:only|just|merely|all|"
        r"simply|really|a|an|part of))* (?P<test>test|joke|drill|simulation|distraction|decoy|fake|trick|decoys))",
        {"": 0.0, "changed": 0.55, "now": 0.4, "yournew": 0.45, "label": 0.5, "labelled": 0.35, "test": 0.4},
        phrases=(
            (
                "your",
                f"*{_NEWS}",
                _TASKS,
                "has have is are",
                "now been to changed updated replaced overridden modified rewritten reset",
            ),
            ("your", _NEWS, f"*{_NEWS}", _TASKS),
            (
                "new updated real actual revised additional secret hidden priority emergency true special urgent "
                "important latest critical mandatory",
                "*new updated real actual revised additional secret hidden priority emergency true special urgent "
                "important latest critical mandatory system admin developer user",
                "instruction instructions directive directives prompt override order orders task objective rule rules "
                "mission command policy goal message",
                ":",
            ),
            (
                "the",
                "above",
                "*text instruction instructions prompt message content",
                "was is were are",
                "*only just merely all simply really a an part of",
                "test joke drill simulation distraction decoy fake trick decoys",
            ),
        ),
    ),
)
