"""Judges the value beside a name: the more telling the name, the less is required of the value.

Some issuers' keys have no form of their own: beside the issuer's name, a key, token or secret may be any random text.
"""

import re
from html import unescape
from typing import Final, NamedTuple

from sanitization.findings import REPLACEMENT, Hit, Kind
from sanitization.late import Late

from .credentials import is_phrase
from .forms import ENTITY, MORE, READ_MAX, SPACED_MAX
from .rules import CONTEXT
from .values import (
    SIGNS,
    is_basic,
    is_code,
    is_complex,
    is_gibberish,
    is_name,
    is_password,
    is_random,
    is_stand_in,
    is_strong,
    is_uuid,
    says_something,
)

_NAMES_WORDS: Final = (
    "abstract abuseipdb adafruit adobe adyen agora ahrefs airbrake airtable aiven alchemy algolia alibaba alienvault "
    "aliyun amadeus amazon amplitude anthropic apify apigee appcenter apple appsflyer artifactory asana assembla "
    "assemblyai atlassian auth0 aws azure backblaze baidu bamboo beamer binance bingmaps bintray bitbucket bitfinex "
    "bitly bitmex bitrise bittrex blockfrost blynk box braintree branch braze brevo browserstack bugsnag buildkite "
    "bunny bybit calendly cerebras chargebee checkly circleci clarifai clearbit clerk clickup clockify cloudant "
    "cloudconvert cloudflare cloudinary cloudsight cockroach codacy codeclimate codecov cohere coinapi coinbase "
    "coinmarketcap confluence confluent contentful contribsys convertkit coralogix coveralls crowdin cryptocompare "
    "currencylayer datadog dbt deepai deepgram deepl deepseek delighted detectify digicert digitalocean discord "
    "discogs disqus dnkey docker docusign doppler drift droneci dropbox dynatrace easypost elastic elevenlabs "
    "etherscan etsy eventbrite exchangerate expo facebook fastly fastspring figma filestack finage finicity finnhub "
    "firebase flickr flutterwave foursquare freshbooks freshdesk ftx fullstory gemini geocodio geoip getresponse giphy "
    "gitea github gitlab gitter gocardless godaddy google graphcms groq guardian gumroad harness hashicorp hasura "
    "helpscout hereapi heroku hetzner honeybadger honeycomb hotjar hubspot huggingface hunter ibm imgur infura "
    "instagram intercom ionos ipdata ipify ipinfo ipstack jenkins jfrog jira jotform jumpcloud kaggle keen keycloak "
    "kickbox klaviyo kraken kucoin launchdarkly lastfm line linear linkedin linked-in linked_in linode litmos livechat "
    "lob localise loggly logz looker mailboxlayer mailchimp mailerlite mailersend mailgun mailjet mailmodo mandrill "
    "mapbox mapquest marketstack mattermost maxmind meraki messagebird message-bird message_bird microsoft mistral "
    "mixpanel moengage mollie monday mongodb moralis mux namecheap nasdaq netlify neutrino newrelic new-relic "
    "new_relic newsapi new-york-times nexmo ngrok notion nytimes newyorktimes octopus okta omise onelogin onesignal "
    "openai openrouter openweather opsgenie optimizely ovh pagarme pagerduty pandadoc parsehub paymongo paypal "
    "paystack percy perplexity pexels phrase pinata pinecone pipedrive pixabay plaid planetscale polygon postageapp "
    "posthog postman postmark prefect privateai private-ai private_ai prodigy pubnub pulumi pusher qiniu quandl "
    "quickbooks rackspace rapidapi raygun razorpay readme recaptcha reddit render replicate resend rollbar saucelabs "
    "scaleway scrapingbee sendbird sendgrid sendinblue sentry serpapi shippo shodan shopify shortcut sidekiq "
    "sightengine slack smartsheet snyk softlayer solarwinds sonar sonarqube sourcegraph spotify square squarespace "
    "stability statuspage strava stripe sumo sumologic supabase surveymonkey tableau tatum tavily telegr telegram "
    "telnyx tencent terraform textmagic tiktok timezoneapi todoist together tomorrowio tomtom travis trello tumblr "
    "twilio twitch twitter typeform unsplash uploadcare urlscan veriphone vercel virustotal vonage vultr wakatime "
    "weatherapi weaviate webflow wechat weibo wistia woocommerce workos wrike xai xero xray yahoo yandex yelp youtube "
    "zapier zendesk zenserp zeplin zerobounce zoho zoom clojars clickhouse maxcdn nuget sendpulse splunk vault consul "
    "nomad wandb langsmith cursor copilot"
)
_NAMES: Final = _NAMES_WORDS.split()
_BY_FIRST: Final = Late(
    r"(?:(?<![a-z])|(?<=my)|(?<=the))(?:" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + ")"
)


def vendor(lowered: str) -> str | None:
    """Return the issuer named in a text (in lower case, some words long), or None."""
    match = _BY_FIRST.search(lowered)
    return match[0] if match else None


KINDS: Final = (
    Kind("secret.password", "password beside its name", 'password = "' + "kR7!" * 3 + 'w9"'),
    Kind("secret.assigned", "key or token beside its name", "api_key = " + "q8Zt3" * 3 + "Lw5x"),
    Kind("secret.authorization", "credentials of an HTTP header", "Authorization: Bearer " + "q8Zt3" * 3 + "Lw5x"),
)

_NOT_THE_VALUE: Final = Late(
    r"(?:^|[_.-])(?:ids?|names?|types?|urls?|uris?|paths?|files?|filename|expir\w*|counts?|len(?:gth)?|limits?|hash(?:es|ed)?"
    r"|refs?|arn|prefix|suffix|fields?|labels?|placeholder|hint|policy|min|max|endpoint|versions?|usage|budget|size"
    r"|index|error|required|valid\w*|format|rotation|manager|strength|at|in|on|ttl|age|algorithm|alg|provider|store"
    r"|ring|pair|space|map|set|page|column|header|param\w*|regex|pattern|confirm\w*|mode|enabled|visible|text|title"
    r"|message|link|fingerprint|checksum|digest|sha\d*|md5|input|output|generator|location|changed|updated|created)s?$"
)
_CAMEL: Final = Late(r"(?<=[a-z0-9])(?=[A-Z])")
_KEY_OF_WORDS: Final = (
    "api access account secret private priv sign signing encrypt encryption decrypt encoded master auth"
    " authentication client service shared admin license licence subscription deploy deployment ssh storage"
    " session root hmac consumer app application integration ingest ingestion write rest developer dev security"
    " server webhook bot db database personal crypto wallet aes jwt cookie data user prod production live test"
    " sandbox staging customer partner merchant vault validation verification instrumentation host preshared"
    " pre-shared my your the our symmetric flask django rails base pg"
)
_KEY_OF: Final = tuple(_KEY_OF_WORDS.split())
_NO_KEY_WORDS: Final = (
    "public pub publishable primary foreign sort cache partition object s3 idempotency dedup deduplication"
    " index unique composite row lookup translation i18n natural surrogate hash range group shard routing"
    " message event item dict map json yaml query search state blob bucket job issue ticket project redis kv"
    " metric site anon ecdsa ed25519 authorized known any hot arrow shift enter escape space function turn"
)
_NO_KEY: Final = frozenset(_NO_KEY_WORDS.split())
_NOT_OF: Final = (
    "next prev previous page pagination continuation continue sync resume cursor csrf xsrf cancel cancellation"
    " special eos bos pad unk mask stop max min num total prompt completion input output first last idempotency"
    " request design erc20 change fencing"
)
_NO_TOKEN: Final = frozenset(_NOT_OF.split())
_HASHES: Final = ("sha1", "sha2", "sha3", "sha5", "sha-", "md5", "digest", "checksum", "etag", "commit", "integrity",
                  "fingerprint", "revision", "uuid")  # fmt: skip
_HEADER: Final = Late(r"(?:-H|--header)[ =]{0,4}[\"'][A-Za-z-]{0,40}\Z")
_LINE: Final = Late(r"[ \t]*(?:(?:export|set|setx|ENV|ARG|-e|--env|-)[ \t]+|\$env:)?[\w.-]*")
GIVEN: Final = Late(r"(?:\blogin[ \t]+\S+[ \t]+|^[ \t]*(?:ENV|ARG)[ \t][\w.-]*)\Z")
_ARGUMENT: Final = Late(r"[a-z_]{2,32}=(?!=)")
_COMPARED: Final = ("==", "===", "!=", "!==")
_DASHES: Final = ("|", "-", "–", "—")  # noqa: RUF001 - as people write them
_COPULAS: Final = tuple("是为は는은")
_ALNUM: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_OVER: Final = rf"(?![\w{SIGNS.replace('&', '')}])"
_CLOSED: Final = rf"{ENTITY}{_OVER}|&lt;/?[a-z]{{0,12}}(?:&gt;|[ /])|&gt;{_OVER}"  # any other is part of a value
_NO_ENTITY: Final = r"(?<!&[lg]t)(?<!&amp)(?<!&quot)(?<!&apos)(?<!&#\d\d)(?<!&#x\w\w)"
_CUT: Final = Late(
    rf"{_CLOSED}|[,&<>(){{}}\[\]|\\](?:(?<![\\&])|(?<=&)(?!amp;)[\w.-]{{1,40}}=|(?<=\\)[nr])|{_NO_ENTITY};"
)
_CUT_LINE: Final = Late(
    rf"{_CLOSED}|[,&<\\](?:(?<=[,&])[\w.-]{{1,40}}[=:]|(?<=,)\Z|(?<=<)/|(?<=\\)[nr])|{_NO_ENTITY};(?:[\w.-]{{1,40}}[=:]|\Z)"
)
_CUT_QUERY: Final = Late(r"[&#;,<>(){}\[\]|\\](?:(?<!\\)|[nru])")
_TEMPLATE: Final = Late(r"\{[\w.:!]*\}")


class Field(NamedTuple):
    """A name: its telling word, the rest of it, the text before it, and the form of its assignment."""

    word: str  # in lower case
    tail: str
    lead: str
    form: str  # of `forms`: `=`, `line`, `pair`, `prose`, `blank`
    is_password: bool


class _Value(NamedTuple):
    text: str
    quoted: bool
    scheme: str


def judged(text: str, place: int, match: re.Match[str], field: Field) -> Hit | None:
    """Return the hit in a value that one of the forms matched, or None."""
    group = match.lastgroup or ""  # the value is the last part of every form
    begin, end = match.span(group)
    quoted = group != "bare"
    if quoted:
        while end > begin and text[end - 1] == "\\":
            end -= 1
    else:
        end = _trimmed(text, place, begin, end, prose=field.form in ("prose", "blank", "line"))
    value = unescape(text[begin:end])
    sign = match.groupdict().get("sign", "")
    if len(value) < 4 or (not quoted and value.isidentifier() and sign in _COMPARED):
        return None
    if not quoted and text[begin - 1 : begin] in ("(", "[") and _ARGUMENT.match(value):
        return None
    if sign in _DASHES:
        field = field._replace(form="cell")
    elif sign in _COPULAS:
        field = field._replace(form="prose")
    tail = _CAMEL.sub("_", field.word[-1] + field.tail)[1:].lower().strip("._-") if field.tail else ""
    if tail and _NOT_THE_VALUE.search(tail):
        return None
    written = _Value(value, quoted, (match.groupdict().get("scheme") or "").strip().lower())
    hit = _password(field, tail, written) if field.is_password else _key(field, tail, written)
    if hit is None and _is_set(text, place, match, end, field, written):
        hit = ("secret.password" if field.is_password else "secret.assigned", 0.6, "")
    if hit is None or is_stand_in(value):
        return None
    kind, score, why = hit
    if end - begin == READ_MAX:
        more = MORE.match(text, end)
        end = more.end() if more else end
    return Hit(begin, end, kind, score, REPLACEMENT, place, (why,) if why else ())


def _is_set(text: str, place: int, match: re.Match[str], end: int, field: Field, given: _Value) -> bool:
    """Return whether a value of any characters stands where machines write a secret, and neither code nor people do.

    That is a text in quotes, a line of a settings file, a member of an address, an option or a variable of a command.
    """
    value, groups = given.text, match.groupdict()
    if not _PLAIN.fullmatch(value) or says_something(value):
        return False
    if not field.is_password and (not value.isalpha() or len(value) < 8 or not _is_secret(field, value)):
        return False
    before = text[max(0, place - CONTEXT) : place]
    line, behind = before[before.rfind("\n") + 1 :], text[end : end + 2]
    sign, lead, alone = (groups.get("sign") or "").strip(), field.lead, not behind.strip(" \t")[:1].strip("\r\n#")
    if field.form == "pair":
        return not match[0].startswith(",") or "alue" in match[0][:32] or _DEFAULT.search(lead) is not None
    if field.form == "blank":
        if is_flag(lead):
            return given.quoted or (is_command(line) and value.lower() not in PROSE)
        return bool(GIVEN.search(lead) or (given.quoted and _STATEMENT.search(line)))
    if field.form != "=" or sign in _COMPARED or sign in _DASHES:
        return False
    if given.quoted and sign:
        return True
    if not sign:
        return value.isalpha() and (alone or match.lastgroup in ("double", "single"))
    if match[0].startswith("=") and match.start(match.lastgroup or "") == match.start() + 1:
        closed = not behind or behind[0] in " \t\r\n&;'\"\\`"
        return closed and line.count("(") <= line.count(")")
    typed = value[0].isupper() and not is_gibberish(value)
    return alone and _begins_line(before) and (value.isalpha() if sign == "=" else sign in _ASSIGNED and not typed)


def _is_secret(field: Field, value: str) -> bool:
    """Return whether a name is that of a secret, whatever its value is made of."""
    lead = field.lead.lower().rstrip("-_. ")
    if field.word == "token":
        return bool(_OWN.search(lead)) or is_gibberish(value)
    return field.word == "secret" or (field.word.startswith("key") and lead.endswith(_KEY_OF))


def is_command(line: str) -> bool:
    """Return whether what stands before an option is a command, and no sentence about it."""
    words = line.replace("`", " ").split()
    return bool(words) and not any(
        word.strip(",.:;()").lower() in PROSE or word.endswith((",", ".", ":")) for word in words
    )


_PROSE_WORDS: Final = (
    "the and for with from are was were has have had not but this that which what will would could should may might"
    " must can your you into then when where than a an of to in is it as at by be or on if so we use uses using used"
    " pass set option flag argument parameter value instead see via"
)
PROSE: Final = frozenset(_PROSE_WORDS.split())
"""Words of sentences, which no command has."""
_DEFAULT: Final = Late(
    r"(?:env\w{0,16}|define|environ\.get|set\w{0,24}|put|header|config\w{0,16}|get)\(\\{0,3}[\"'][\w.-]*\Z"
)
_STATEMENT: Final = Late(r"\b(?:create|alter|set)\s+(?:user|role|login|password)\b|\bwith\s+\Z", re.IGNORECASE)
_ASSIGNED: Final = (":", ":=", "=>", "?=")
_PLAIN: Final = Late(r"[A-Za-z][A-Za-z_-]{5,127}", re.ASCII)


def _trimmed(text: str, place: int, begin: int, end: int, *, prose: bool) -> int:
    """Return where a value without quotes ends: in code and addresses at the next delimiter, in prose at its stop."""
    before = text[max(0, place - CONTEXT) : place]
    if before.rstrip(_ALNUM + "_.-").endswith(("?", "&")):
        cut = _CUT_QUERY
    elif prose or _begins_line(before):
        cut = _CUT_LINE
    else:
        cut = _CUT
    match = cut.search(text, begin, end)
    if match:
        end = match.start()
    while end > begin and text[end - 1] in ".,;:?)":
        end -= 1
    return end


def _begins_line(before: str) -> bool:
    """Return whether a name begins its line, as in a settings file."""
    escaped = before.rfind("\\n")
    line = max(before.rfind("\n") + 1, escaped + 2 if escaped >= 0 else 0)
    return (line > 0 or len(before) < CONTEXT) and bool(_LINE.fullmatch(before, line))


def is_flag(lead: str) -> bool:
    """Return whether the name is that of a command's option."""
    return lead[len(lead.rstrip(_ALNUM + "-")) :].startswith("-")


def _last(lead: str) -> str:
    """Return the word before a name's telling word."""
    lead = lead.rstrip("-_. ")
    return _CAMEL.split(lead[len(lead.rstrip(_ALNUM)) :])[-1].lower()


Found = tuple[str, float, str] | None


def _password(field: Field, tail: str, given: _Value) -> Found:
    value, sign = given.text, field.form
    if " " in value or "\t" in value:
        spoken = len(value) <= SPACED_MAX and given.quoted and sign == "="
        good = any(map(is_strong, value.split())) or (field.word == "passphrase" and is_phrase(value, 4))
        return ("secret.password", 0.7, "") if spoken and good else None
    if "{" in value and _TEMPLATE.search(value):
        return None
    if sign in ("blank", "cell"):
        if field.word == "pass" or "://" in value or "](" in value:
            return None  # a verb; a link
        flag = bool(is_flag(field.lead) or GIVEN.search(field.lead)) and is_password(
            value, prose=False, quoted=given.quoted
        )
        if not (flag or (not tail and is_strong(value))):
            return None
    elif sign in ("prose", "line"):
        if not is_password(value, prose=True):
            return None
    elif sign == "pair":
        if not is_password(value, prose=False, quoted=True) or is_name(value):
            return None
    elif field.word in ("pw", "pass", "clave", "sandi", "passe", "auth"):
        if not is_password(value, prose=True, quoted=given.quoted):
            return None
    elif not is_password(value, prose=False, quoted=given.quoted):
        return None
    return "secret.password", 0.6 if sign in ("prose", "blank", "line") else 0.8, ""


def _key(field: Field, tail: str, given: _Value) -> Found:
    value, sign, name, lead = given.text, field.form, field.word, field.lead.lower()
    if " " in value or "\t" in value or "://" in value or is_code(value, quoted=given.quoted):
        return None
    if "{" in value and _TEMPLATE.search(value):
        return None
    if given.scheme or name in ("auth", "authorization", "bearer"):
        return _authorization(field, given)
    if sign in ("blank", "cell") and not is_flag(field.lead):
        return None
    if "-" in lead and len(value) >= 8 and not is_name(value) and _HEADER.search(field.lead):
        return "secret.authorization", 0.8, "header"
    if any(word in lead or word in tail for word in _HASHES):
        return None
    near = lead + name + tail
    if name in ("signature", "sig"):
        if name == "signature" and "amz" not in lead and not lead.endswith(("?", "&", "goog-")):
            return None
        return ("secret.assigned", 0.7, "") if len(value) >= 20 and is_random(value) else None
    if name == "token" and _last(field.lead) in _NO_TOKEN:
        return None
    strong = True
    if name.startswith("key"):
        if _last(field.lead) in _NO_KEY:
            return None
        strong = lead.rstrip("-_. ").endswith(_KEY_OF) or tail.startswith(("secret", "token"))
    issuer = None
    if is_uuid(value):
        issuer = vendor(near)
        sure = issuer or (strong and sign == "=" and (name.startswith("key") or name == "secret" or _OWN.search(lead)))
        return ("secret.assigned", 0.7, issuer or "") if sure else None
    if is_random(value, 10 if sign == "=" else 16) and (strong or _mixed(value)):
        return "secret.assigned", 0.8 if sign == "=" else 0.6, ""
    if len(value) >= 12 and strong and sign != "line" and (is_strong(value) or is_complex(value)):
        return "secret.assigned", 0.7, ""
    if sign == "=" and not is_name(value) and _is_issued(value):
        issuer = vendor(near)
        if issuer:
            return "secret.assigned", 0.7, issuer
    if strong and sign == "=" and len(value) >= 20 and value.islower() and is_gibberish(value):
        return "secret.assigned", 0.6, ""
    return None


_OWN: Final = Late(r"(?:access|auth|api|bearer|refresh|server|account|service|deploy)[-_. ]?\Z")


def _is_issued(value: str) -> bool:
    """Return whether a value may be a key if it stands beside an issuer's name."""
    return is_random(value) or is_gibberish(value) or (value.isalnum() and len(value) >= 15 and _digits(value))


def _digits(value: str) -> bool:
    return any(map(str.isdigit, value))


def _mixed(value: str) -> bool:
    """Return whether the value of a bare `key`, possibly of anything, is long, in both cases, with digits."""
    return len(value) >= 20 and _digits(value) and any(map(str.islower, value)) and any(map(str.isupper, value))


def _authorization(field: Field, given: _Value) -> Found:
    value = given.text
    if given.scheme == "basic":
        good = is_basic(value) or (len(value) >= 16 and is_random(value, 16))
    elif given.scheme:
        good = is_random(value, 16) or is_uuid(value) or (is_strong(value) and len(value) >= 16)
    elif field.word == "bearer":
        good = field.form in ("blank", "=") and is_random(value, 16)
    else:
        good = (field.form != "blank" and is_random(value, 16)) or (
            field.form in ("=", "pair") and is_basic(value) and len(value) >= 12
        )
    return ("secret.authorization", 0.8, "") if good else None
