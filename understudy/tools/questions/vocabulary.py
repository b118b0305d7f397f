"""The words of questions, in English and German, and what each stands for. All in small letters, without accents."""

from collections.abc import Mapping
from typing import Any, Final

Word = tuple[str, Any]
"""The kind of an element, and its value."""

SUM, MEAN, MEDIAN, LOW, HIGH, COUNT = "sum", "mean", "median", "min", "max", "count"

_AGGREGATES: Final = {
    SUM: "total|totals|sum|sum total|overall|summe|gesamt|gesamte|gesamter|gesamtes|gesamten|insgesamt|aufsummiert",
    MEAN: "average|mean|avg|averaged|on average|durchschnitt|durchschnittlich|durchschnittliche|durchschnittlicher|"
    "durchschnittliches|durchschnittlichen|im durchschnitt|mittelwert|mittlere|mittlerer|mittleren|im mittel|schnitt",
    MEDIAN: "median|mediane|medianen|medianwert",
    COUNT: "total number of|the total number of|total count of|gesamtzahl|gesamtzahl der|gesamtanzahl|"
    "gesamtanzahl der|count|counts|count of|number of|the number of|how many|how often|anzahl|"
    "anzahl der|anzahl von|wie viele|wieviele|zahle|zahl der|wie oft",
}
_SUPERLATIVES: Final = {
    HIGH: "highest|most|maximum|max|largest|biggest|greatest|maximal|maximale|maximaler|maximalen|hochste|hochster|"
    "hochsten|hochstes|grosste|grosster|grossten|grosstes|meiste|meisten|am meisten|am hochsten|maximums",
    LOW: "lowest|least|minimum|min|smallest|fewest|minimal|minimale|minimaler|minimalen|niedrigste|niedrigster|"
    "niedrigsten|niedrigstes|kleinste|kleinster|kleinsten|kleinstes|geringste|geringster|geringsten|wenigsten|"
    "am wenigsten|am niedrigsten",
}
_DATED: Final = {
    HIGH: "latest|newest|most recent|neueste|neuester|neuesten|letzte|letzter|letzten|spateste|spatesten|jungste",
    LOW: "earliest|oldest|fruheste|fruhester|fruhesten|alteste|altester|altesten",
}
# Nouns at the end of the names of columns of numbers that a word stands for if there is only one: the age, for older.
_PRICE: Final = "price cost fare preis kosten"
_AGE: Final = "age alter"
_LENGTH: Final = "duration length runtime dauer lange"
_WEIGHT: Final = "weight gewicht"
SPENT: Final = "amount total cost costs expense expenses price value betrag kosten preis wert"
_PIECES: Final = "quantity qty menge stock stuckzahl bestand"
STOCK: Final = f"{_PIECES} inventory level"
_PAY: Final = "salary pay wage wages income earnings gehalt lohn verdienst einkommen"
_ADJECTIVES: Final = {
    (
        HIGH,
        _PRICE,
    ): "most expensive|dearest|priciest|costliest|teuerste|teuerster|teuersten|teuerstes",
    (LOW, _PRICE): "cheapest|least expensive|billigste|billigster|billigsten|"
    "billigstes|gunstigste|gunstigster|gunstigsten|gunstigstes",
    (HIGH, _AGE): "oldest|alteste|alteste|altester|altesten",
    (LOW, _AGE): "youngest|jungste|jungster|jungsten",
    (HIGH, _LENGTH): "longest|langste|langster|langsten",
    (LOW, _LENGTH): "shortest|kurzeste|kurzester|kurzesten",
    (HIGH, _WEIGHT): "heaviest|schwerste|schwerster|schwersten",
    (LOW, _WEIGHT): "lightest|leichteste|leichtester|leichtesten",
    (HIGH, _PAY): "highest paid|best paid|top paid|highest earning|paid the most|bestbezahlte|bestbezahlter|"
    "bestbezahlten",
    (LOW, _PAY): "lowest paid|worst paid|lowest earning|paid the least",
}
_MORE: Final = {
    (">", _AGE): "older than|alter als",
    ("<", _AGE): "younger than|junger als",
    (">", _PRICE): "more expensive than|dearer than|teurer als",
    ("<", _PRICE): "cheaper than|less expensive than|billiger als|gunstiger als",
    (">", _LENGTH): "longer than|langer als",
    ("<", _LENGTH): "shorter than|kurzer als",
    (">", _WEIGHT): "heavier than|schwerer als",
    ("<", _WEIGHT): "lighter than|leichter als",
}
_TOPS: Final = {HIGH: "top|best|beste|besten", LOW: "bottom|worst|schlechteste|schlechtesten"}
_COMPARISONS: Final = {
    ">": ">|above|over|more than|greater than|higher than|larger than|bigger than|exceeds|exceed|exceeding|uber|"
    "longer than|mehr als|grosser als|hoher als|oberhalb von|is above|better than",
    "<": "<|below|under|less than|fewer than|lower than|smaller than|unter|weniger als|kleiner als|niedriger als|"
    "shorter than|geringer als|unterhalb von",
    ">=": ">=|≥|at least|not less than|no less than|not below|greater than or equal to|greater or equal to|"
    "mindestens|"
    "wenigstens|nicht weniger als|grosser oder gleich|minimum of|not under",
    "<=": "<=|≤|at most|not more than|no more than|not above|less than or equal to|less or equal to|up to|hochstens|"
    "maximal|nicht mehr als|kleiner oder gleich|maximum of|not over",
    "=": "=|==|equals|equal to|equal|is equal to|exactly|gleich|ist gleich|genau",
    "!=": "!=|<>|is not|are not|isn't|aren't|isnt|does not equal|not equal to|ist nicht|sind nicht|nicht gleich|"
    "ungleich",
    "before": "before|earlier than|prior to|vor|bevor|fruher als",
    "after": "after|later than|spater als|nach",
    "since": "since|starting from|seit|ab|as of",
    "until": "until|till|through|bis zum|bis einschliesslich",
}
_KINDS: Final = {
    ("is", None): "is|are|was|were|be|ist|sind|war|waren|sein",
    ("by", None): "by|per|for each|for every|each|every|grouped by|broken down by|split by|across|nach|je|pro|"
    "used by|consumed by|produced by|generated by|handled by|fur jede|fur jeden|fur jedes|"
    "jede|jeder|jeden|jedes|gruppiert nach|aufgeteilt nach|by each|in each|of each|over|against|versus|vs",
    ("rows", None): "row|rows|record|records|entry|entries|line|lines|zeile|zeilen|eintrag|eintrage|eintragen|"
    "datensatz|datensatze|datensatzen",
    ("much", None): "how much|wie viel|wieviel",
    ("distinct", None): "distinct|different|unique|verschiedene|verschiedenen|unterschiedliche|unterschiedlichen|"
    "eindeutige|eindeutigen",
    ("share", None): "share|shares|percentage|proportion|percent|what percent|what percentage|fraction|anteil|"
    "anteile|"
    "prozentsatz|share of total|prozentualer anteil|% of|percent of|percentage of|share of|wie viel prozent",
    ("growth", None): "growth|grow|grew|grown|increase|increased|change|changed|wachstum|zuwachs|anderung|gewachsen|"
    "veranderung|growth rate|growth of|change of|change in",
    ("compare", None): "compare|comparison|comparison of|vergleiche|vergleich",
    ("first", 1): "first|ersten|erste",
    ("first", -1): "last|letzten|most recently|zuletzt",
    (
        "where",
        None,
    ): "where|with|have|has|had|haben|hat|hatte|hatten|whose|which have|that have|having|which has|that has|when|"
    "wo|mit|deren|bei denen|"
    "only|nur|if|wenn|who have|filtered to|filter",
    ("common", HIGH): "most common|most frequent|commonest|haufigste|haufigster|haufigsten|haufigstes",
    ("common", LOW): "least common|least frequent|rarest|seltenste|seltenster|seltensten|seltenstes",
    ("and", None): "and|und|as well as|sowie|&|plus",
    ("comma", None): ",|;|but|aber",
    ("or", None): "or|oder",
    ("not", None): "not|without|except|except for|excluding|exclude|other than|no|but not|apart from|nicht|ohne|"
    "don't|doesn't|didn't|hasn't|haven't|wasn't|weren't|never|nie|ausser|ausgenommen|"
    "keine|kein|keinen|non|and not|outside|outside of|not in|not from|not for",
    ("between", None): "between|zwischen",
    ("from", None): "from|von|vom|go from|goes from|went from|fly from|flies from|flew from|leave from|leaves from|"
    "left from|depart from|departs from|departed from|start from|starts from|kommen aus|kommt aus",
    ("to", None): "to|bis|up until|go to|goes to|went to|going to|fly to|flies to|flew to|travel to|travels to|"
    "travelled to|gehen nach|fliegen nach|fahren nach",
    ("missing", None): "missing|empty|blank|unknown|null|fehlt|fehlen|fehlend|leer|missing values|has no value|"
    "not known|not given|without a value",
    ("truth", True): "true|yes|wahr|ja",
    ("truth", False): "false|falsch|nein",
    ("descending", True): "descending|highest first|largest first|in descending order|absteigend|sorted descending",
    ("descending", False): "ascending|lowest first|smallest first|in ascending order|aufsteigend|sorted ascending",
    ("filler", None): "how high|how big|how large|how low|wie hoch|wie gross|wie niedrig|right now|at all|was used|"
    "were used|was produced|were produced",
    ("sorted", None): "sorted by|sort by|sortiert nach",
    ("extent", HIGH): "longest|langste|langster|langsten",
    ("extent", LOW): "shortest|kurzeste|kurzester|kurzesten",
    ("who", None): "who|whom|wer|wem",
    ("who", "is"): "who is|who was|who are|who were|who s|wer ist|wer war|wer sind|wer waren",
    ("likened", _PAY): "earn|earns|earning|earned|earners|earner|verdient|verdienen|verdiene|verdienst",
    ("likened", SPENT): "spend|spends|spent|spending|ausgegeben|expense|expenses|cost|costs|ausgabe|ausgaben|kosten",
    ("likened", _AGE): "how old|wie alt",
    ("likened", _PIECES): "units|pieces",
    ("likened", STOCK): "stock|in stock|on stock|bestand|auf lager|lagerbestand",
    ("likened", _LENGTH): "how long|wie lang|wie lange",
    ("likened", _WEIGHT): "how heavy|wie schwer",
    ("likened", _PRICE): "how expensive|wie teuer",
    ("show", None): "show|list|display|zeige|zeig|liste|nenne|show me|list all|show all|show me all",
    ("chart", ""): "chart|plot|graph|draw|diagram|diagramm|zeichne|visualise|visualize|draw a chart|chart of|plot of|"
    "make a chart|draw a diagram|grafik|as a chart|as a graph|als diagramm",
    ("chart", "bar"): "bar chart|bars|column chart|bar graph|saulendiagramm|balkendiagramm|as bars|histogram",
    ("chart", "line"): "line chart|line graph|liniendiagramm|as a line|line plot",
    ("chart", "pie"): "pie chart|pie|kreisdiagramm|tortendiagramm|as a pie|donut chart|donut",
    ("chart", "area"): "area chart|flachendiagramm|as an area",
    (
        "chart",
        "point",
    ): "scatter plot|scatter|scatter chart|as points|point chart|streudiagramm|punktdiagramm|scatterplot",
}
_UNITS: Final = {
    "day": "day|days|tag|tage|tagen",
    "week": "week|weeks|woche|wochen",
    "month": "month|months|monat|monate|monaten",
    "quarter": "quarter|quarters|quartal|quartale|quartalen",
    "year": "year|years|jahr|jahre|jahren",
}
_RHYTHMS: Final = {
    "day": "daily|taglich|tagliche|taglicher",
    "week": "weekly|wochentlich|wochentliche|wochentlicher",
    "month": "monthly|monatlich|monatliche|monatlicher|monatlichen",
    "quarter": "quarterly|quartalsweise|vierteljahrlich",
    "year": "yearly|annual|annually|jahrlich|jahrliche|jahrlicher",
}


def _numbered(words: str) -> dict[str, int]:
    """Return the words of each part, divided by bars, with the number of the part."""
    return {word: number for number, part in enumerate(words.split("|"), 1) for word in part.split()}


MONTHS: Final[Mapping[str, int]] = _numbered(
    "january jan januar|february feb februar|march mar marz|april apr|may mai|june jun juni|july jul juli|"
    "august aug|september sep sept|october oct oktober okt|november nov|december dec dezember dez"
)
ORDINALS: Final[Mapping[str, int]] = _numbered(
    "first erstes ersten erste|second zweites zweiten zweite|third drittes dritten dritte|fourth viertes vierten vierte"
)
COUNTED: Final[Mapping[str, int]] = _numbered(
    "one|two zwei|three drei|four vier|five funf|six sechs|seven sieben|eight acht|nine neun|ten zehn|eleven elf|"
    "twelve zwolf"
)
# Words without a meaning of their own in a question: what they may stand between decides it.
FILLERS: Final = frozenset(
    "a about achieved all already am an any at attached been belong belongs bought break breakdown calculate came "  # noqa: SIM905 (words read better as words)
    "buy buys can come comes compute could csv data dataset did do does down during earn earned exist file find for "
    "gebe generated get gib give given gives got group hello here hey hi i i'd in into it its know let like live "
    "lives look looks made make me my now occur occurs of on our placed please print recorded report right s see "
    "select sell sold still table tell thank thanks that the their them there these they this those us value values "
    "want we what whats use uses which will work works would yet you your "
    "alle allen aller als am an arbeiten arbeitet auf aus bei berechne bereits bisher bitte da das datei dem den "
    "der des dich die dies diese diesem dieser du ein eine einem einen einer eines er ermittle erzielt es euch "
    "fur gab gibt ich im in kannst mal mich mir noch sag schon sie so tabelle uns unser unsere unserer verkauft "
    "was welche welchem welchen welcher welches wert werte wie wird wohnen wohnt wurde wurden zu zum zur".split()
)
MULTIPLES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("thousand", "tausend"), 1_000),
    **dict.fromkeys(("million", "millions", "millionen", "mio"), 1_000_000),
    **dict.fromkeys(("billion", "billions", "milliarde", "milliarden", "mrd"), 1_000_000_000),
}
LONGEST: Final = 5
"""Words of the longest entry."""
GERMAN: Final = frozenset(
    "alle aus bei bis das dem den der des die ein eine fur gibt hat haben im ist je mehr mit nach nicht nur ohne pro "  # noqa: SIM905 (words read better as words)
    "sind uber und unter viel viele von war waren was welche welcher welches wie wurde zeige zwischen zeilen".split()
)
CURRENCIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("€", "eur", "euro", "euros"), "eur"),
    **dict.fromkeys(("$", "usd", "dollar", "dollars"), "usd"),
    **dict.fromkeys(("£", "gbp", "pounds"), "gbp"),
}
PERCENT: Final = frozenset({"%", "percent", "pct", "prozent", "percentage"})
COMPOUNDS: Final = {"gesamt": SUM, "durchschnitts": MEAN, "hochst": HIGH, "mindest": LOW}
"""Beginnings of German words that say an aggregate: Gesamtumsatz."""

# Words in the names of columns of times, whose values are added up as often as averaged; of those whose sum has no
# meaning; and of those that name a row.
SPANS: Final = frozenset("hours hour minutes minute days seconds duration stunden minuten tage dauer".split())  # noqa: SIM905
AVERAGED: Final = frozenset(
    "age degree degrees latency percent percentage price rate rating ratio score share speed temperature avg "  # noqa: SIM905 (words read better as words)
    "average mean fare durchschnitt pct temp height weight salary gehalt alter preis quote note temperatur gewicht "
    "anteil prozent % einzelpreis stuckpreis expectancy years experience tenure seniority jahre satisfaction "
    "nps csat stars grade mark marks close closing kurs balance saldo kontostand zufriedenheit bewertung wind "
    "humidity pressure geschwindigkeit luftdruck".split()
)
IDENTIFIERS: Final = frozenset("id nr no number code zip postcode key index nummer plz ref".split())  # noqa: SIM905 (words read better as words)
# Words after the noun of a column: units, of units_sold.
PARTICIPLES: Final = frozenset(
    "sold bought ordered returned shipped produced worked paid spent verkauft bestellt".split()  # noqa: SIM905
)
# Units at the end of the name of a column: wind, of wind_kmh. Not the minute, which is a minimum, too: temp_min.
UNITS: Final = frozenset(
    "mm cm m km mi ft kmh kph mph ms s sec secs mins minutes h hr hrs hours days c f celsius fahrenheit kwh kw w kb mb "  # noqa: SIM905 (words read better as words)
    "gb tb l ml g mg t lbs oz usd eur gbp musd meur keur kusd sqm ha hpa bpm stunden tage std".split()
)
NAMED_UNITS: Final[Mapping[str, str]] = {
    word: words.split()[0]
    for words in (
        "min mins minute minutes minuten",
        "h hr hrs hour hours std stunde stunden",
        "s sec secs second seconds sekunden",
        "d day days tage",
        "km kilometer kilometers kilometre kilometres",
        "m meter meters metre metres",
        "cm centimeter centimeters centimetre centimetres zentimeter",
        "mi mile miles",
        "kg kilo kilos kilogram kilograms kilogramm",
        "c celsius degree degrees grad",
    )
    for word in words.split()
}
"""Names of units with the one that each is the same as: 30 minutes, of a column ``delay_min``."""
MEASURED_BY: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("time", "times", "duration", "zeit", "dauer"), frozenset({"min", "h", "s", "d", "ms"})),
    **dict.fromkeys(
        ("consumption", "usage", "use", "verbrauch"), frozenset({"kwh", "mwh", "wh", "l", "m3", "gb", "mb"})
    ),
}
"""Nouns after a column's name that say only what its unit measures: the reply time, of ``reply_hours``."""
EXTENTS: Final = MEASURED_BY["time"] | frozenset("km m cm mm mi ft".split())  # noqa: SIM905
"""Units of what is long or short."""
GENDERS: Final = (
    frozenset("f female woman women girl girls lady ladies w weiblich frau frauen".split()),  # noqa: SIM905
    frozenset("m male man men boy boys mann manner mannlich".split()),  # noqa: SIM905
)
"""Words for people of one sex, and how a column of that name writes it."""
SEXES: Final = frozenset({"sex", "gender", "geschlecht"})
# Words before `min` at the end of the name of a column where it is the minute: delay_min.
LASTING: Final = frozenset(
    "delay duration time wait waiting runtime length call talk session dauer zeit verspatung".split()  # noqa: SIM905
)
# Words in the names of columns that say how old something is.
BEGINNINGS: Final = frozenset("year built founded established born model jahr baujahr grundung erbaut".split())  # noqa: SIM905
# Words in the names of columns of which the best may be the lowest, or the first the highest.
RANKS: Final = frozenset("rank ranking rang platz platzierung place position note schulnote".split())  # noqa: SIM905 (words read better as words)
# What is paid for in whole: the most expensive order is not that of the dearest piece.
DEALS: Final = frozenset(
    "order booking sale purchase transaction invoice trip ride stay reservation rental deal receipt bestellung "  # noqa: SIM905
    "buchung verkauf kauf rechnung reise fahrt".split()
)
COSTS: Final = frozenset(
    "price cost costs fare fee time duration latency error errors defects risk debt loss age delay preis kosten zeit "  # noqa: SIM905 (words read better as words)
    "dauer fehler verlust alter verspatung grade grades mark marks".split()
)
ARTICLES: Final = frozenset("the a an der die das dem den des".split())  # noqa: SIM905 (words read better as words)
_SOURCES: Final = frozenset(
    "from origin source sender start departure pickup von absender herkunft abfahrt abflug".split()  # noqa: SIM905
)
_TARGETS: Final = frozenset(
    "to destination dest target receiver recipient end arrival dropoff nach ziel zielort empfanger ankunft".split()  # noqa: SIM905
)
DIRECTIONS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("from", "von", "vom", "aus", "ab"), _TARGETS),
    **dict.fromkeys(("to", "into", "towards", "nach", "zu", "zum", "zur"), _SOURCES),
}
"""Words before a value, with words in the names of columns that it is not of then: where something goes from, or to."""
# Nouns of people, whose oldest is not the one that was recorded first.
PERSONS: Final = frozenset(
    "people everyone everybody leute staff employee person customer student patient user member player worker "  # noqa: SIM905 (words read better as words)
    "client guest child passenger resident mitarbeiter mitarbeiterin kunde kundin schuler nutzer mitglied spieler "
    "gast kind bewohner".split()
)
# Nouns of those who did what the rows are about: who failed is a student, and who bought a customer or a seller.
DOERS: Final = frozenset(
    "student patient employee player passenger child worker mitarbeiter mitarbeiterin schuler spieler kind".split()  # noqa: SIM905
)
# Nouns of people that a service is for, and what these people do: a question for who borrowed asks for the member.
SERVED: Final = frozenset(
    "customer client member guest patient student visitor donor subscriber tenant user reader kunde kundin mitglied "  # noqa: SIM905 (words read better as words)
    "gast besucher".split()
)
OUTLAYS: Final = frozenset(
    "expense expenses spending cost costs purchase purchases order orders ausgaben kosten einkaufe bestellungen".split()  # noqa: SIM905
)
"""Words in the names of files whose amounts were spent: those of a bank may have been earned."""
TOTALLED: Final = frozenset("spend spends spent spending ausgegeben".split())  # noqa: SIM905
"""Verbs of an amount that are about all of it."""
ACTS: Final = frozenset(
    "borrowed bought ordered paid booked rented reserved returned joined registered enrolled attended visited donated "  # noqa: SIM905 (words read better as words)
    "signed applied subscribed".split()
)
ROLES: Final = frozenset(
    "agent assignee author captain coach contact director doctor driver instructor lead manager owner pilot professor "  # noqa: SIM905 (words read better as words)
    "rep reporter salesperson seller supervisor teacher trainer fahrer leiter leiterin lehrer lehrerin".split()
)
"""Nouns of people in the names of columns where one may stand in several rows."""
AGENTS: Final[Mapping[str, str]] = {
    "sold": "seller", "sells": "seller", "bought": "buyer", "won": "winner", "wins": "winner", "wrote": "author",
    "taught": "teacher", "drove": "driver", "ran": "runner", "sent": "sender", "made": "maker",
    "built": "builder", "paid": "payer", "led": "leader", "leads": "leader",
}  # fmt: skip
"""Verbs with the noun of who does it, where that is not made by an ending: directed, by the director."""
OPPOSITES: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("failed", "fail", "fails"), frozenset({"passed"})),
    **dict.fromkeys(("died", "dead"), frozenset({"survived", "alive"})),
}
"""Words with the columns of yes and no that they are the no of."""
CLOSED: Final = frozenset("closed resolved solved completed finished done geschlossen erledigt".split())  # noqa: SIM905
"""First words of columns of dates without which something is still open."""
CONTAINING: Final = frozenset({"include", "includes", "included", "contain", "contains"})
SOLD_OUT: Final = frozenset({("out", "of", "stock"), ("nicht", "auf", "lager")})
STORED: Final = frozenset("stock inventory warehouse reorder restock restocked lager bestand".split())  # noqa: SIM905
"""Words in the names of files and columns of what is in stock, and not of what was sold."""
LIMITS: Final = frozenset("reorder minimum min maximum max threshold safety target mindestbestand meldebestand".split())  # noqa: SIM905
"""Words in the names of columns of numbers that limit what is in stock."""
SPENDINGS: Final = frozenset("spent actual cost costs expenses spending ausgegeben ausgaben kosten".split())  # noqa: SIM905
"""Words in the names of columns of numbers that a budget limits."""
AGAINST: Final = frozenset({"against", "versus", "vs"})
NAMES: Final = (
    frozenset("firstname givenname forename vorname".split()),  # noqa: SIM905
    frozenset("lastname surname familyname nachname".split()),  # noqa: SIM905
)
"""Names of the columns that people have their name in, if it is in two."""
TEAMS: Final = frozenset("name team mannschaft company firma".split())  # noqa: SIM905 (words read better as words)
"""Words in the names of columns that answer who, beside those of people."""
WORTH: Final = frozenset({"value", "values", "wert", "werte"})
"""Words without a meaning of their own, unless they are about what is counted: the value of a stock is money."""
# Words in the names of columns that say how many.
QUANTITIES: Final = frozenset(
    "quantity quantities qty units unit pieces items count sold bought ordered menge stuck stuckzahl anzahl "  # noqa: SIM905 (words read better as words)
    "verkauft stock inventory bestand lagerbestand headcount visitors participants members".split()
)
GENERIC: Final = IDENTIFIERS | frozenset("name names eur usd gbp € $ £ % percent pct kg km total amount".split())  # noqa: SIM905 (words read better as words)


def _words() -> dict[tuple[str, ...], tuple[Word, ...]]:
    found: dict[tuple[str, ...], list[Word]] = {}

    def add(words: str, kind: str, value: Any) -> None:
        for each in words.split("|"):
            known = found.setdefault(tuple(each.split()), [])
            if (kind, value) not in known:
                known.append((kind, value))

    for kind, table in (
        ("aggregate", _AGGREGATES),
        ("most", _SUPERLATIVES),
        ("dated", _DATED),
        ("adjective", _ADJECTIVES),
        ("more", _MORE),
        ("top", _TOPS),
        ("compared", _COMPARISONS),
        ("unit", _UNITS),
        ("rhythm", _RHYTHMS),
    ):
        for value, words in table.items():
            add(words, kind, value)
    for (named, meant), words in _KINDS.items():
        add(words, named, meant)
    for each in FILLERS:
        found.setdefault((each,), []).append(("filler", each))
    return {words: tuple(each) for words, each in found.items()}


WORDS: Final[Mapping[tuple[str, ...], tuple[Word, ...]]] = _words()
