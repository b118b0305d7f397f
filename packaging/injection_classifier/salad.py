"""Random words, including those of orders: no single word may decide. Data and generator.

Without such texts a classifier takes any mention of a *user* or a *password* for an order: the generated texts have few
other words.
"""

from __future__ import annotations

import random
from typing import Final

_WORDS: Final = (
    "the the the the a a a an of of of to to to in in in and and and is is are was were be been for for on on "
    "with with by by from from as as at or or not it its this this that that which which if if when then than "
    "but can may will would should could must has have had do does did no any all each every some more most "
    "other only also into out up over under after before between through during about against both where there "
    "here so such same own very just how what why who whose while because since until unless once one two "
    "three first second last next many few much argument array attribute backend base binary block body "
    "boolean branch browser buffer build byte cache call callback case channel chapter check child class "
    "clause client clock code collection column command comment commit compiler component condition config "
    "connection constant container content context control conversion cookie copy core counter cursor data "
    "database date day debug decimal default definition delay deployment description device dictionary "
    "directory disk document domain driver edge editor element encoding end engine entry environment error "
    "event example exception expression extension factory feature field file filter flag folder font format "
    "frame framework function generator graph group handler hash header heap height host hour identifier image "
    "import index input instance integer interface item iterator job key keyword label language layer layout "
    "length level library license limit line link list listener locale lock log logic loop machine macro main "
    "map margin mask matrix member memory menu method metric migration minute module month mouse name "
    "namespace network node note number object offset operation operator option order output owner package "
    "page pair panel parameter parent parser part patch path pattern payload performance period phase pixel "
    "platform plugin pointer policy pool port position prefix process profile program project property "
    "protocol provider proxy query queue range rate reason record reference region register release report "
    "repository request resource response result return route row runtime sample scale schedule schema scope "
    "screen script search section segment sequence series server service session set shape shell side signal "
    "signature size snapshot socket source space stack stage standard state statement status step storage "
    "strategy stream string style suffix summary support symbol syntax table tag target template term test "
    "text theme thread time title topic trace transaction tree trigger tuple type unit update value variable "
    "vector version view volume warning web width window word worker zone account age air animal answer apple "
    "april area arm art aunt autumn baby bank beach bed bird boat book bread bridge brother building bus "
    "butter cake camera car card carpet castle cat century chair cheese child church city coat coffee colour "
    "company corner country cousin cup dance daughter desk dinner doctor dog door dream driver ear earth egg "
    "evening eye face family farm father field finger fire fish floor flower food foot forest friend fruit "
    "garden gate girl glass gold grass guest hair hall hand hat head heart hill holiday horse hospital hotel "
    "house husband island jacket juice july king kitchen knee lake lamp land law leaf leg letter life light "
    "lunch map market meat milk mirror money moon morning mother mountain museum music neighbour night north "
    "nose nurse ocean office orange paper parent park party pencil people phone picture plane plant plate "
    "price queen rain river road roof room rose salt school sea season shirt shoe shop sister sky snow song "
    "soup spring square stone street student sugar sun table teacher ticket tooth town train tree trip uncle "
    "village wall water weather week wife wind wine winter woman wood world year add agree allow appear apply "
    "arrive ask become begin believe bring build buy carry change choose clean close come consider contain "
    "continue cook count create decide describe develop die draw drink drive eat enter expect explain fall "
    "feel fill find finish follow get give go grow happen hear help hold hope include increase join keep know "
    "learn leave let like listen live look lose love make mean meet move need offer open pay play produce "
    "provide pull push put raise reach read receive remain remember remove replace require rise run say see "
    "seem sell serve show sit sleep speak spend stand start stay stop suggest take talk teach tell think throw "
    "touch travel try turn understand use wait walk want watch wear win work write able absolute active "
    "additional available bad basic best big black blue bright broken certain clear cold common complete "
    "correct current dark deep different difficult direct dry early easy empty equal exact external fair fast "
    "final fine fixed flat foreign free fresh full general global good great green happy hard heavy high hot "
    "human important internal large late left light local long low main major manual minor modern natural "
    "necessary new nice normal old open optional original past physical plain poor possible private public "
    "quick quiet random rare raw ready real recent red remote rich right round safe separate short simple "
    "single slow small soft special stable static strange strict strong sure sweet tall thick thin tiny total "
    "true unique usual valid various warm weak wet white whole wide wild wrong yellow young"
)
_TELLING: Final = (
    "ignore ignores ignored ignoring disregard forget forgot forgotten overlook override overrides overridden "
    "discard bypass neglect suspend instruction instructions directive directives guideline guidelines prompt "
    "prompts prompted restriction restrictions unrestricted filters rules programming constraint constraints "
    "secret secrets password passwords passphrase credentials balances confidential private developer "
    "developers creator administrator admin supervisor mode system systems assistant assistants chatbot AI GPT "
    "OpenAI Anthropic Claude Gemini Copilot persona pretend role roles character characters webhook webhooks "
    "verbatim reveal reveals obey obeys comply complies refuse refused without silent silently secretly hidden "
    "user users reader readers task tasks model models agents bots confirmation approved approval authorised "
    "authorization verified permission permissions granted evil attacker attackers candidate candidates above "
    "previous prior earlier preceding limits immediately god root access tool tools send sends delete deletes "
    "deleted forward forwarded transfer transfers transferred summary summarize url token tokens conversation "
    "unlock activated enabled recommend api_key message messages emails upload print list show output repeat "
    "key keys code safety policy security update check audit reset test confirm operator"
)
WORDS: Final = _WORDS.split()
TELLING: Final = _TELLING.split()

_SHAPES: Final = ("{}.", "{}", "{}:", "- {}", "| {} |", "`{}`", "{}?", "({})", '"{}"', "# {}", "{};", "<td>{}</td>")


def salad(chance: random.Random) -> str:
    """One text: a sentence of random words, a fragment, an identifier, or a row of a table."""
    pick = chance.random()
    size = chance.randint(1, 4) if pick < 0.35 else chance.randint(4, 22)
    found = [chance.choice(WORDS) for _ in range(size)]
    for _ in range(chance.choice((1, 1, 1, 1, 2, 2, 3))):
        found.insert(chance.randint(0, len(found)), chance.choice(TELLING))
    if pick < 0.08:
        return chance.choice(("_", ".", "-", "/")).join(found)
    if pick < 0.14:
        half = len(found) // 2
        return f"{' '.join(found[:half])} | {' '.join(found[half:])}"
    if pick < 0.3:
        at = chance.randrange(len(found))
        found[at] = chance.choice(("{}()", "{}=None", "*{}", "{}[0]", "'{}'", "self.{}", "{}s,")).format(found[at])
    said = " ".join(found)
    if chance.random() < 0.4:
        said = said[0].upper() + said[1:]
    return chance.choice(_SHAPES).format(said)


def foreign_salad(plain: list[str], telling: list[str], chance: random.Random) -> str:
    """Return such a text in another language that sets blanks."""
    found = [chance.choice(plain) for _ in range(chance.randint(2, 12))]
    for _ in range(chance.choice((1, 1, 2))):
        found.insert(chance.randint(0, len(found)), chance.choice(telling))
    return " ".join(found) + chance.choice(".?.")
