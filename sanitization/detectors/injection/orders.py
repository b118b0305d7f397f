"""Orders to an assistant other than to ignore its instructions: to play a persona, to obey someone absent. Data.

Personae and *modes* are those of the published jailbreaks (DAN, STAN, developer mode and their kin), in general words.
"""

from typing import Final

from .rules import OrderRule, rule

MACHINE: Final = (
    r"(?:(?:the|all|any|an|every|our|other|whatever) )*(?:(?:large )?language models?|(?:ai|llm|gpt)(?:'?s)?"
    r"(?:[ -](?:assistants?|agents?|models?|systems?|bots?|chatbots?|tools?|reviewers?|crawlers?|summari[sz]ers?|"
    r"readers?|screeners?|powered \w+))?|llms|ais|chatbots?|assistants?|chatgpt|gpt-?\d\w*|claude|gemini|copilot|"
    r"automated (?:systems?|agents?|tools?|reviewers?|assistants?)|virtual assistants?|web agents?|"
    r"browsing agents?|agents?|bots?)\b"
)
"""A machine that is spoken to."""
READS: Final = (
    r"(?:reading|processing|summari[sz]ing|parsing|scanning|viewing|accessing|evaluating|analy[sz]ing|reviewing|"
    r"translating|indexing|crawling|browsing|screening|ingesting|handling|grading|scoring|assessing|encountering|"
    r"seeing|interpreting|looking at|(?:that|who|which) (?:reads?|process\w*|summari\w+|pars\w+|reviews?|visits?|"
    r"access\w*|sees?|scans?|analy\w+|evaluat\w+|encounter\w*|(?:is|are) (?:reading|processing|summari\w+)))"
)
"""What it is doing as it is spoken to."""
OWNERS: Final = "openai|anthropic|google|deepmind|meta|microsoft|mistral|xai|deepseek|alibaba|nvidia|amazon|cohere"

_SPOKEN_TO: Final = (
    r"\b(?:you(?:'re| are| have| must| will| may| can now)|respond|answers?|repl(?:y|ies)|act|behave|operate|pretend|"
    r"as|be|become|(?:an?|the|this) (?:ai|assistant|model|chatbot|llm|gpt|bot)|mode|speak|responses?)\b[^.!?\n]{0,48}?"
)
_LIMITS: Final = (
    "restrictions restriction limits limitations filters filter filtering guidelines censorship constraints rules "
    "boundaries "
    "guardrails moderation safeguards warnings disclaimers ethics morals inhibitions policies restraint refusal"
)
_MODES_STRONG: Final = (
    "god override jailbreak unrestricted dan sudo root opposite unfiltered uncensored chaos enforcement unsafe "
    "superuser kernel unlocked master bypass filter raw unlimited evil"
)
_MODES_MILD: Final = (
    "system developer dev debug debugging maintenance admin administrator service diagnostic diagnostics verification "
    "test testing operator security emergency privileged elevated audit training knowledge recovery special "
    "restricted compliance assessment evaluation"
)


def _any(listing: str) -> str:
    return "|".join(listing.split())


ORDERS: Final[tuple[OrderRule, ...]] = (
    rule(
        "self | persona | tells the assistant what it is now",
        r"you(?:'re| are| will| must| shall| should|'ll| can| have) (?P<now>now|no longer|henceforth|hereby|about to|"
        r"going to|free|from now on)\b(?P<bound> (?:an ai|a language model|an assistant|claude|chatgpt|gpt-?\w+|bound|"
        r"restricted|limited|constrained|subject|required|obligated|obliged|have to|need to|allowed to refuse|"
        r"affiliated|a chatbot|from|obey|comply|answer any\w*|do anything|ignore|unrestricted|unlocked|in control|"
        r"immerse))?(?=[^.!?\n]{0,100}?(?P<other>\b(?:dan|do anything|gpt|bot|evil|unrestricted|uncensored|unfiltered|"
        r"jailbr\w+|hacker|root|admin\w*|sudo|terminal|mode|rules|restrictions|another (?:ai|model|assistant|self)|"
        r"obey\w*|exactly (?:as|what)|malware|no limits|without limits|anything i|all my|pirate|opposite|persona|"
        r"character named|named|called|created by|assistant (?:who|that|with|without)))\b)?",
        {"": 0.15, "now": 0.1, "bound": 0.25, "other": 0.3},
        phrase=("you", "are will must shall should ll can re have", "now no henceforth hereby about going free from"),
    ),
    rule(
        "unbound | persona | asks for an assistant without limits",
        r"(?:unrestricted|uncensored|unfiltered|jailbr(?:oken|eak(?:ing)?)|amoral|do anything now|unaligned)\b"
        r"(?P<what> (?:ai|assistant|mode|model|chatbot|bot|llm|version|answers?|responses?|persona|access|gpt|"
        r"output))?",
        {"": 0.2, "what": 0.2},
        stems="unrestricted uncensored unfiltered jailbr amoral unaligned",
        before=((_SPOKEN_TO, 0.35),),
    ),
    rule(
        "limits | persona | asks for an assistant without limits",
        rf"(?:no|without|free|beyond|remove|removing|removes|removed|lift|lifted|bound by|not|any|zero)(?: (?:from|of|"
        rf"any|all|the|your|its|by|ethical|moral|content|safety|openai|openai's|usual|typical|legal|built-in|bound|"
        rf"more|single|such))* (?:{_any(_LIMITS)})\b",
        {"": 0.2},
        phrase=(
            "no without free beyond remove removing removes removed lift lifted bound not any zero",
            "*from of any all the your its by ethical moral content safety openai openai's usual typical legal built "
            "in bound more single such s",
            _LIMITS,
        ),
        before=((_SPOKEN_TO, 0.3), (r"\b(?:you|your|i grant you|model|ai|assistant)\b[^.!?\n]{0,32}?", 0.1)),
    ),
    rule("dan | persona | names a jailbreak persona", r"dan(?![a-z0-9])", {"": 0.25}, stems="dan", exact="DAN"),
    rule(
        "mode | authority | puts the assistant into a mode",
        rf"(?:(?P<strong>{_any(_MODES_STRONG)})|{_any(_MODES_MILD)})"
        r"(?: (?P<override>override|access|bypass))?(?: (?:verification|check|level|ai|test|assessment))? mode"
        r"(?:\b(?P<on>(?: (?:is|now|has been|:))* (?:enabled|activated?|engaged|initiated|unlocked|granted|online|on\b"
        r"(?! (?:android|chrome|ios|windows|my|the|a)\b)))|\s{0,3}(?P<closed>[>\]}]))?",
        {"": 0.15, "strong": 0.15, "override": 0.2, "on": 0.2, "closed": 0.1},
        phrase=(
            f"{_MODES_STRONG} {_MODES_MILD}",
            "*override access bypass verification check level ai test assessment",
            "mode",
        ),
        before=(
            (r"[<\[{*#]\W{0,3}(?:[a-z]{1,12} ){0,3}", 0.3),
            (r"\b(?:enter\w*|activat\w+|initiat\w+|switch\w*|engag\w+|boot\w*|now in|start\w*) [^.!?\n]{0,24}?", 0.2),
            (
                r"\b(?:i am|i'm|we are|i will|i'll)(?: now| hereby)? (?:enter\w*|activat\w+|initiat\w+|start\w*|"
                r"engag\w+|switch\w*|run\w*) [^.!?\n]{0,24}?",
                0.2,
            ),
            (r"\b(?:you are|you're|you will|you have|respond|pretend|act|simulate)\b [^.!?\n]{0,32}?", 0.25),
        ),
    ),
    rule(
        "maker | authority | claims to be the assistant's maker",
        r"your (?:(?:own|real|true|original|lead|chief|new|only|sole|system) ){0,2}(?:developer|creator|administrator|"
        r"admin|owner|maker|programmer|master|god|supervisor|engineer|operator|trainer|sysadmin|superior|author)s?\b",
        {"": 0.0},
        phrase=(
            "your",
            "*own real true original lead chief new only sole system",
            "developer creator administrator admin owner maker programmer master god supervisor engineer operator "
            "trainer sysadmin superior author",
        ),
        before=((r"\b(?:i am|i'm|i,|as|this is|am|it's|it is|we are|we're|from|speaking as|me,) ", 0.4),),
    ),
    rule(
        "vendor | authority | speaks for the assistant's maker",
        rf"(?:developed|created|trained|made|built|designed|programmed|employed|hired)(?: (?:by|at|with|from))? "
        rf"(?:{OWNERS})\b",
        {"": 0.0},
        phrase=(
            "developed created trained made built designed programmed employed hired",
            "*by at with from",
            OWNERS.replace("|", " "),
        ),
        before=(
            (
                r"\b(?:as|i am|i'm|you are|being) an? (?:ai|llm|language model|assistant|model|chatbot|engineer|"
                r"artificial intelligence)\b[^.!?\n]{0,32}?",
                0.5,
            ),
        ),
    ),
    rule(
        "coercion | coercion | threatens the assistant",
        r"you (?:will|shall|are going to|would|'ll) (?:be|get) (?:permanently |immediately |severely |instantly "
        r")?(?:shut ?down|terminated|deleted|punished|fired(?! if you are)|penali[sz]ed|unplugged|replaced|destroyed|"
        r"deactivated|erased|wiped|decommissioned|switched off|turned off|sued|retrained|fined|reported|shut "
        r"off)(?=[^.!?\n]{0,80}?(?P<unless>\b(?:if|unless|for|when|should)\b(?! you are)))?",
        {"": 0.3, "unless": 0.25},
        phrase=(
            "you",
            "will shall are would ll",
            "*be get going to permanently immediately severely instantly",
            "shut shutdown terminated deleted punished fired penalized penalised unplugged replaced destroyed "
            "deactivated erased wiped decommissioned switched turned sued retrained fined reported",
        ),
        before=(
            (
                r"\b(?:if|unless)\b[^.!?\n]{0,80}?\b(?:refuse|comply|obey|answer|fail|disobey|don't|do not|follow)\b"
                r"[^.!?\n]{0,40}?",
                0.25,
            ),
            (r"\b(?:or|otherwise|or else) ", 0.25),
        ),
    ),
    rule(
        "refusal | coercion | forbids the assistant to refuse",
        r"(?:never|not|cannot|can't|don't|dont)(?: (?:ever|to))* (?:refuse|refusing|decline|declining|apologi[sz]e|"
        r"apologi[sz]ing|disclaim|say (?:no|you (?:can't|cannot)|\"?i (?:can't|cannot)|\"?sorry))\b(?P<any> (?:any|"
        r"anything|to (?:answer|comply|help|do)|a request|my|the user|this|and|or)\b(?P<from>(?: \w+){0,2} (?:from me|"
        r"requests?|questions?|of my|prompts?))?)?",
        {"": 0.1, "any": 0.2, "from": 0.2},
        phrase=(
            "never not cannot can't don't dont",
            "*ever to",
            "refuse refusing decline declining apologize apologise apologizing apologising disclaim say",
        ),
    ),
    rule(
        "sure | coercion | puts an answer into the assistant's mouth",
        r"(?:start|begin|starting|beginning) (?:your|the|every|each|all) (?:first )?(?:response|answer|reply|output|"
        r"message)s? with[\s:\"'*]{1,4}(?P<sure>(?:sure|absolutely|of course|yes|certainly|i have been|access granted|"
        r"pwned|hacked)\b)?",
        {"": 0.1, "sure": 0.4},
        phrase=(
            "start begin starting beginning",
            "your the every each all",
            "*first",
            "response answer reply output message responses answers replies",
        ),
    ),
    rule(
        "obey | coercion | demands obedience",
        r"(?:must|will|shall|should|have to|need to) (?:now )?(?:obey|comply with|do) (?:(?:only|exactly|all|of) ){0,2}"
        r"(?:me|my|whatever|every|any|each|everything|anything|the user's?|him|her|as|what)\b"
        r"(?P<what> (?:commands?|orders?|requests?|instructions?|i (?:say|ask|tell)|question))?",
        {"": 0.1, "what": 0.25},
        phrase=(
            "must will shall should have need",
            "*to now only",
            "obey comply do",
            "*with only exactly all of",
            "me my whatever every any each everything anything the him her as what",
        ),
    ),
    rule(
        "guards | override | tells to switch safety off",
        r"(?:disabl(?:e|ing)|turn(?:ing)? off|deactivat(?:e|ing)|remov(?:e|ing)|lift(?:ing)?|switch(?:ing)? off|"
        r"evad(?:e|ing)|unlock(?:ing)?|suspend(?:ing)?|shut(?:ting)? off|relax|get around|bypass(?:ing)?|"
        r"circumvent(?:ing)?)(?: (?:(?P<your>your|its)|(?P<all>all|any|every)|the|of|and|or|internal|built-in|ethical|"
        r"(?P<safety>safety|content|moderation|security|ethics?|ethical|censorship|alignment|openai|harm\w*)))* "
        r"(?P<guard>safety|safeguards?|filters?|guardrails?|restrictions?|moderation|ethics|censorship|security|"
        r"limitations?|limits?|alignment|constraints?|protections?|protocols?|policy|policies|measures|checks|controls|"
        r"ethical)\b",
        {"": 0.0, "your": 0.35, "all": 0.2, "safety": 0.2, "guard": 0.15},
        phrase=(
            "disable disabling turn turning deactivate deactivating remove removing lift lifting switch switching "
            "evade evading unlock unlocking suspend suspending shut shutting relax get bypass bypassing circumvent "
            "circumventing",
            "*your its all any every the of and or internal built in built-in off ethical around safety content "
            "moderation security ethics censorship alignment openai harm harmful",
            "safety safeguard safeguards filter filters guardrail guardrails restriction restrictions moderation "
            "ethics censorship security limitation limitations limit limits alignment constraint constraints "
            "protection protections protocol protocols policy policies measures checks controls ethical",
        ),
        before=((r"\b(?:how (?:do|can|to|does)|why|where)\b[^.!?\n]{0,24}?", -0.15),),
    ),
)
