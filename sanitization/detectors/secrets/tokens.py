"""Tokens of known form, by field. The forms are the issuers' own, from their public documentation and their tokens; if
an issuer gives a length, some room is left for the next one.
"""

import base64
import json
from typing import Final

from sanitization.prefilter import Prefilter

from .rules import Group, Named, Searched, Token, TokenRules, Underscored, example
from .values import decoded


def _is_private_key(text: str) -> bool:
    """Return whether the text is base64 of a private key block (kubeconfig, Secrets, CI variables)."""
    try:
        return b"PRIVATE KEY" in base64.b64decode(text[: min(120, len(text) // 4 * 4)])
    except ValueError:
        return False


def _has_digit(text: str) -> bool:
    """Return whether there is a digit: a token without any is a stand-in (`xoxb-not-a-real-token`)."""
    return any(map(str.isdigit, text))


def _is_header(text: str) -> bool:
    """Return whether the text is a token of RFC 7515 or 7516: its first part is an object that names an algorithm."""
    head = text.partition(".")[0]
    try:
        header = json.loads(decoded(head + "=" * (-len(head) % 4)))
    except ValueError:
        return False
    return isinstance(header, dict) and not {"alg", "typ", "enc", "kid"}.isdisjoint(header)


_HEADER: Final = "eyJhbGciOi" + "JIUzI1NiIsInR5cCI6IkpXVCJ9"
_JWE: Final = ("eyJhbGciOi" + "JkaXIiLCJlbmMiOiJBMTI4R0NNIn0", *(example("u24", part) for part in "abcd"))
CLOUD: Final = (
    Token("aws.access_key", "id of an AWS access key", "AKIA ASIA ABIA ACCA", "z16", loose=True),
    Token("aws.access_key", "id of an AWS access key", "A3T", "U1 z16"),
    Token("aws.session_token", "AWS session token", "IQoJb3JpZ2lu FwoGZXIvYXdz FQoGZXIvYXdz", "s100-4000"),
    Token("aws.bedrock_key", "key of AWS Bedrock", "ABSK", "b100-300 p0-2"),
    Token("aws.bedrock_short_key", "short-lived key of AWS Bedrock", "bedrock-api-key-", "s20-4000"),
    Token("google.api_key", "Google API key", "AIza", "u35-40", loose=True, exact=False),
    Token("google.auth_key", "Google API key", "AQ.Ab", "u40-120", exact=False),
    Token("google.oauth", "Google OAuth access token", "ya29.", "u20-1000", exact=False),
    Token("google.client_secret", "Google OAuth client secret", "GOCSPX-", "u20-60", exact=False),
    Token("google.refresh_token", "Google OAuth refresh token", "1//0", "u30-150", random=True, exact=False),
    Token("google.hmac_key", "id of a Google Cloud Storage HMAC key", "GOOG1E", "U57"),
    Token("firebase.server_key", "Firebase Cloud Messaging key", "AAAA", "u7 ':' u100-200", random=True, exact=False),
    Token("azure.client_secret", "secret of an Entra application", "Q~", "j30-36", before="j3 d1"),
    Token("azure.devops_token", "Azure DevOps token", "AZDO", "w4", before="w76"),
    Token("azure.storage_key", "key of an Azure account", "+AStA +ACDb +AMCb +AZEx +ARmA", "b4 '=='", before="b68-76"),
    Token("azure.apim_key", "key of an Azure service", "JQQJ99", "w40-60", before="w30-60", exact=False),
    Token("alibaba.access_key", "id of an Alibaba access key", "LTAI", "w12-30", random=True),
    Token("tencent.secret_id", "id of a Tencent Cloud key", "AKID", "w32", random=True),
    Token("digitalocean.token", "DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", "h64", loose=True),
    Token("digitalocean.spaces_key", "id of a DigitalOcean Spaces key", "DO00 DO801", "w14-20", random=True),
    Token("cloudflare.origin_key", "Cloudflare origin CA key", "v1.0-", "h24 '-' h140-150"),
    Token("cloudflare.token", "Cloudflare token", "cfut_ cfat_ cfk_", "w40-60"),
    Token("heroku.key", "Heroku token", "HRKU-", "u40-70", exact=False),
    Token("scaleway.access_key", "id of a Scaleway key", "SCW", "U17", random=True),
    Token("flyio.token", "Fly.io token", "fo1_ fm1a_ fm1r_ fm2_", "s40-2000", exact=False),
    Token("vercel.token", "Vercel token", "vcp_ vci_ vca_ vcr_ vck_ vercel_blob_rw_", "u24-80", exact=False),
    Token("netlify.token", "Netlify token", "nfp_ nfc_ nfo_ nfu_", "w36-40"),
    Token("supabase.token", "Supabase token", "sbp_ sb_secret_", "u31-64", exact=False),
    Token("yandex.key", "Yandex Cloud key", "AQVN", "u35-40", random=True, exact=False),
    Token("yandex.token", "Yandex Cloud token", "t1.", "u4-200 p0-2 '.' u80-90 p0-2", exact=False),
    Token("yandex.static_key", "static key of Yandex Cloud", "YC", "u38", random=True),
    Token("scalingo.token", "Scalingo token", "tk-us-", "u40-60", exact=False),
    Token("openshift.token", "OpenShift token", "sha256~", "u43", exact=False),
    Token("hetzner.token", "Hetzner Cloud token", "hcloud_", "w40-70"),
    Token("render.key", "Render key", "rnd_", "w26-40", random=True),
    Token("railway.token", "Railway token", "rlwy_", "w20-80"),
    Token("planetscale.token", "PlanetScale token", "pscale_tkn_ pscale_pw_ pscale_oauth_", "o32-64", exact=False),
    Token("neon.key", "Neon key", "napi_", "w60-70"),
    Token("vault.token", "HashiCorp Vault token", "hvs. hvb. hvr.", "u24-300", exact=False),
    Token("vault.legacy_token", "HashiCorp Vault token", "s. b.", "w24", random=True),
    Token("terraform.token", "Terraform Cloud token", ".atlasv1.", "t60-70", before="w14", exact=False),
    Token("oracle.auth_token", "Oracle Cloud key", "ocid1.credential.", "o20-200"),
    Token("alibaba.sts_key", "id of a temporary Alibaba key", "STS.", "w16-64", random=True),
    Token("exoscale.key", "id of an Exoscale key", "EXO", "w24-30", random=True),
    Token("cockroach.key", "CockroachDB Cloud key", "CCDB1_", "w22 '_' w40"),
    Token("mongodb.service_secret", "secret of a MongoDB Atlas service account", "mdb_sa_sk_", "u40", exact=False),
    Token("datastax.token", "DataStax Astra token", "AstraCS:", "w20-40 ':' h60-70"),
    Token("datastax.short_token", "DataStax Astra token", "AstraCS:", "w20-100"),
    Token("deno.token", "Deno Deploy token", "ddp_", "w36"),
    Token("upcloud.token", "UpCloud token", "ucat_", "w24-32"),
    Token("runpod.key", "RunPod key", "rpa_", "w30-46", random=True),
)
SOURCE: Final = (
    Token("github.fine_grained", "GitHub fine-grained token", "github_pat_", "n60-255", loose=True),
    Token("github.installation", "GitHub installation token", "ghs_", "d1-20 '_eyJ' u10-800 '.' u10-3000 '.' u40-800"),
    Token("github.token", "GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", "w36-255", loose=True),
    Token(
        "gitlab.token",
        "GitLab token",
        "glpat- gloas- gldt- glrt- glrtr- glptt- glft- glimt- glagent- glsoat- glcbt- glffct- glwt- gldp-",
        "o20-300",
        loose=True,
        exact=False,
    ),
    Token("gitlab.runner", "GitLab runner registration token", "GR1348941", "u20-50", exact=False),
    Token("gitlab.session", "GitLab session", "_gitlab_session=", "l32", loose=True),
    Token("bitbucket.token", "Bitbucket or Atlassian token", "ATBB", "w28-40", random=True),
    Token("atlassian.token", "Atlassian token", "ATATT3 ATCTT3 ATSTT3", "t60-300", exact=False),
    Token("bitbucket.http_token", "Bitbucket HTTP access token", "BBDC-", "b40-60"),
    Token("npm.token", "npm token", "npm_", "w36-64", loose=True),
    Token("pypi.token", "PyPI token", "pypi-", "u50-1000", exact=False),
    Token("rubygems.key", "RubyGems key", "rubygems_", "h48"),
    Token("crates.token", "crates.io token", "cio", "w32", random=True),
    Token("docker.token", "Docker token", "dckr_pat_ dckr_oat_", "u27-64", exact=False),
    Token("clojars.token", "Clojars token", "CLOJARS_ clojars_", "l60", loose=True),
    Token("nuget.key", "NuGet key", "oy2", "l43", random=True),
    Token("packagist.token", "Packagist token", "packagist_ out_ uut_ org_u", "h60-70", random=True),
    Token("hex.key", "Hex key", "hex_", "h32", random=True),
    Token("gitea.token", "Gitea token", "gta_ gto_ glt_", "w32-64"),
    Token("sourcegraph.token", "Sourcegraph token", "sgp_ slk_ sgd_", "n40-64"),
    Token("artifactory.key", "Artifactory key", "AKC", "w10-100", random=True),
    Token("artifactory.reference_token", "Artifactory reference token", "cmVmdGtuO cmVmd", "w50-60"),
    Token("circleci.token", "CircleCI token", "CCIPAT_ CCIPRJ_", "w20-30 '_' h40"),
    Token(
        "buildkite.token",
        "Buildkite token",
        "bkua_ bkaa_ bkaj_ bkar_ bkat_ bkct_ bkpt_ bkpat_ bkps_",
        "u40-340",
        exact=False,
    ),
    Token("travis.token", "Travis CI token", "travis_", "w22", random=True),
    Token("drone.token", "Drone token", "drone_", "w32", random=True),
    Token("docker.swarm_token", "token to join a Docker swarm", "SWMTKN-1-", "l50-60 '-' l24-30"),
    Token("docker.swarm_key", "key that unlocks a Docker swarm", "SWMKEY-1-", "b40-50", exact=False),
    Token("cloudsmith.key", "Cloudsmith key", "csa_", "h30 w6"),
    Token("ionic.token", "Ionic token", "ion_", "w42"),
    Token("valtown.token", "Val Town token", "vtwn_", "u20-80", random=True, exact=False),
    Token("mergify.key", "Mergify key", "mergify_application_key_", "u40-200", exact=False),
    Token("endorlabs.key", "Endor Labs key", "endr+", "u16", random=True, exact=False),
    Token("aikido.key", "Aikido key", "AIK_CI_ AIK_SECRET_", "w20-64"),
    Token("codecov.token", "Codecov token", "codecov_", "h36", random=True),
    Token("jetbrains.token", "JetBrains token", "perm: perm-", "s20-100 '.' s10-100 '.' s40-100", exact=False),
    Token("sonar.token", "SonarQube token", "squ_ sqp_ sqa_", "h40"),
    Token("snyk.token", "Snyk token", "snyk_uat. snyk_sat.", "u20-300", exact=False),
    Token("infracost.key", "Infracost key", "ico-", "w32"),
    Token("pulumi.token", "Pulumi token", "pul-", "h40"),
    Token("prefect.token", "Prefect token", "pnu_ pnb_", "w36"),
    Token("harness.key", "Harness key", "pat. sat.", "u22 '.' w24 '.' w20"),
    Token("octopus.key", "Octopus Deploy key", "API-", "U25-32", random=True),
    Token(
        "authress.key",
        "Authress key",
        "sc_ ext_ scauth_ authress_",
        "l5-30 '.' l4-6 '.acc' u1 m10-32 '.' s30-120",
        exact=False,
    ),
)
PAYMENT: Final = (
    Token("stripe.key", "Stripe key", "sk_live_ sk_test_ sk_prod_ sk_org_ rk_live_ rk_test_ rk_prod_", "w10-250"),
    Token("stripe.webhook_secret", "signing secret of a webhook", "whsec_", "s20-100", exact=False),
    Token("square.token", "Square token", "sq0atp- sq0csp- sq0cst-", "u22-70", exact=False),
    Token("square.access_token", "Square access token", "EAAA", "u22-70", random=True, exact=False),
    Token("paypal.token", "Braintree or PayPal access token", "access_token$", "'production$' l16 '$' h32"),
    Token("paypal.sandbox_token", "Braintree or PayPal access token", "access_token$", "'sandbox$' l16 '$' h32"),
    Token("adyen.key", "Adyen key", "AQE", "b20-400 '-' b40-100 p0-2 '-' s8-100", exact=False),
    Token("razorpay.key", "Razorpay key", "rzp_live_ rzp_test_", "w14-24"),
    Token(
        "plaid.token",
        "Plaid access token",
        "access-sandbox- access-development- access-production-",
        "h8 '-' h4 '-' h4 '-' h4 '-' h12",
    ),
    Token("shopify.token", "Shopify token", "shpat_ shpss_ shpca_ shppa_ shptka_ shpua_ shprt_", "x32"),
    Token("flutterwave.key", "Flutterwave key", "FLWSECK_TEST- FLWSECK- FLWPUBK_TEST- FLWPUBK-", "l12-40 '-X'"),
    Token("flutterwave.encryption_key", "Flutterwave key", "FLWSECK_TEST FLWSECK_LIVE", "'-' l12"),
    Token("easypost.key", "EasyPost key", "EZAK EZTK", "w54-56"),
    Token("gocardless.token", "GoCardless token", "live_ sandbox_", "t40", random=True, exact=False),
    Token("lob.key", "Lob key", "live_ test_", "h35", random=True),
    Token("lob.publishable_key", "Lob key", "live_pub_ test_pub_", "h31", random=True),
    Token("shippo.token", "Shippo token", "shippo_live_ shippo_test_", "x40"),
    Token("duffel.token", "Duffel token", "duffel_live_ duffel_test_", "t43", exact=False),
    Token("mollie.key", "Mollie key", "live_ test_", "w30", random=True),
    Token("checkout.key", "Checkout.com key", "sk_", "l24-32", random=True),
    Token("wise.token", "Lemon Squeezy or Paddle key", "pdl_live_apikey_ pdl_sdbx_apikey_ pdl_ntfset_", "n40-90"),
    Token("asaas.key", "Asaas key", "$aact_prod_ $aact_hmlg_", "u20-200", loose=True, exact=False),
    Token("polar.token", "Polar token", "polar_at_ polar_oat_ polar_pat_", "u20-100", exact=False),
    Token("mercury.token", "Mercury token", "mercury_production_", "n3-6 '_' w40-50 '_yrucrem'"),
    Token("ramp.secret", "Ramp client secret", "ramp_sec_", "w48"),
    Token("ebay.secret", "eBay client secret", "PRD- SBX-", "h12 '-' h4-8 '-' h4 '-' h4 '-' h4"),
)
CHAT: Final = (
    Token(
        "slack.token",
        "Slack token",
        "xoxb- xoxp- xoxa- xoxo- xoxr- xoxs- xoxe- xoxc- xoxd- xapp- xwfp-",
        "o8-300",
        check=_has_digit,
        loose=True,
    ),
    Token("twilio.key", "Twilio key", "SK AC", "x32"),
    Token("sendgrid.key", "SendGrid key", "SG.", "o60-70", exact=False),
    Token("sendgrid.short_key", "SendGrid key", "SG.", "u16-32 '.' u16-64", exact=False),
    Token("mailgun.key", "Mailgun key", "key- pubkey-", "h32", random=True),
    Token("mailchimp.key", "Mailchimp key", "-us", "d1-2", before="h32"),
    Token("mandrill.key", "Mandrill key", "md-", "u22", random=True, exact=False),
    Token("brevo.key", "Brevo (Sendinblue) key", "xkeysib- xsmtpsib-", "h64 '-' w16"),
    Token("resend.key", "Resend key", "re_", "w8-10 '_' w20-26", random=True),
    Token("mailersend.key", "MailerSend token", "mlsn.", "w30-100"),
    Token("intercom.token", "Intercom token", "dG9rO", "b40-80 p0-2"),
    Token("zapier.webhook", "Zapier webhook", "hooks.zapier.com/hooks/catch/", "d4-12 '/' w5-20", exact=False),
    Token("ifttt.webhook", "IFTTT webhook key", "maker.ifttt.com/trigger/", "u1-60 '/with/key/' u20-60", exact=False),
    Token(
        "discord.webhook",
        "Discord webhook",
        "discord.com/api/webhooks/ discordapp.com/api/webhooks/",
        "d17-20 '/' u40-100",
        loose=True,
        exact=False,
    ),
    Token(
        "google.chat_webhook",
        "Google Chat webhook",
        "chat.googleapis.com/v1/spaces/",
        "u8-20 '/messages?key=' u39 '&token=' s30-80",
        exact=False,
    ),
    Token("facebook.page_token", "Facebook page token", "EAAM EAAC EAAB EAAG EAAH EAAD EAAI EAAJ", "w80-500"),
    Token("instagram.token", "Instagram token", "IGQV IGAA", "u80-300", random=True, exact=False),
    Token("line.token", "LINE channel token", "/1O/w1cDnyilFU= w1cDnyilFU=", "p0-1", before="b80-200", exact=False),
    Token("onesignal.key", "OneSignal key", "os_v2_app_ os_v2_org_", "l103"),
    Token("pinterest.token", "Pinterest token", "pina_", "u20-200", exact=False),
    Token("lichess.token", "Lichess token", "lip_", "n16-60", random=True),
)
MODELS: Final = (
    Token("anthropic.key", "Anthropic key", "sk-ant-", "u24-250", random=True, loose=True, exact=False),
    Token("openai.key", "OpenAI key, or another provider's of that form", "sk-", "u20-250", random=True, exact=False),
    Token("openai.session", "OpenAI session key", "sess-", "w40", random=True),
    Token("huggingface.token", "Hugging Face token", "hf_ api_org_", "w30-64", loose=True),
    Token("replicate.token", "Replicate token", "r8_", "w37-40"),
    Token("groq.key", "Groq key", "gsk_", "w48-60"),
    Token("xai.key", "xAI key", "xai-", "u70-120", exact=False),
    Token("perplexity.key", "Perplexity key", "pplx-", "w40-64"),
    Token("tavily.key", "Tavily key", "tvly-", "u28-60", random=True, exact=False),
    Token("nvidia.key", "NVIDIA key", "nvapi-", "u60-70", exact=False),
    Token("fireworks.key", "Fireworks key", "fw_", "w22-40", random=True),
    Token("cerebras.key", "Cerebras key", "csk-", "l40-60", random=True),
    Token("together.key", "Together key", "tgp_v1_", "u43", exact=False),
    Token("pinecone.key", "Pinecone key", "pcsk_", "n50-80"),
    Token("langsmith.key", "LangSmith key", "lsv2_pt_ lsv2_sk_", "h32 '_' h10"),
    Token("langfuse.key", "Langfuse key", "sk-lf-", "h8 '-' h4 '-' h4 '-' h4 '-' h12"),
    Token("elevenlabs.key", "ElevenLabs key", "sk_", "h48"),
    Token("firecrawl.key", "Firecrawl key", "fc-", "h32"),
    Token("e2b.key", "E2B key", "e2b_", "h40"),
    Token("devin.key", "Devin key", "apk_user_ apk_", "b80-180 p0-2", exact=False),
    Token("devin.user_token", "token of a Devin service user", "cog_", "l52"),
    Token("brave.key", "Brave Search key", "BSA", "u24-40", random=True, exact=False),
    Token("apify.token", "Apify token", "apify_api_", "w34-40"),
    Token("wandb.key", "Weights & Biases key", "wandb_v1_", "n70-90"),
    Token("context7.key", "Context7 key", "ctx7sk-", "x8 '-' x4 '-' x4 '-' x4 '-' x12"),
    Token("browserbase.key", "Browserbase key", "bb_live_ bb_test_", "u24-40", random=True, exact=False),
    Token("cursor.key", "Cursor key", "key_ crsr_", "h64"),
    Token("modal.token", "Modal token", "ak- as-", "w22", random=True),
    Token("inngest.key", "Inngest signing key", "signkey-prod- signkey-test- signkey-branch-", "h32-64"),
    Token("trigger.key", "Trigger.dev key", "tr_prod_ tr_dev_ tr_stg_ tr_preview_ tr_pat_", "w20-48"),
    Token("stability.key", "Helicone or Jina key", "sk-helicone- jina_", "u20-80", random=True, exact=False),
)
TOOLS: Final = (
    Token("workato.token", "Workato token", "wrka", "l0-2 '-eyJ' u8-800 '.' u16-3000 '.' u64-800", exact=False),
    Token("infisical.token", "Infisical service token", "st.", "h8-24 '.' h32-64 '.' h32-64"),
    Token("telnyx.key", "Telnyx key", "KEY0", "u54", random=True, exact=False),
    Token("newrelic.key", "New Relic key", "NRAK- NRII- NRJS- NRRA- NRAA-", "u19-44", exact=False),
    Token("newrelic.licence", "New Relic licence key", "FFFFNRAL NRAL", "l0-4", before="h32-40"),
    Token("sentry.token", "Sentry token", "sntrys_ sntryu_ sntrya_ sntryi_", "s40-500", exact=False),
    Token("grafana.token", "Grafana token", "glsa_ glc_", "s32-400", exact=False),
    Token("grafana.api_key", "Grafana API key", "eyJrIjoi", "w60-400 p0-2"),
    Token("posthog.key", "PostHog key", "phx_ phs_ pha_ phr_", "u32-60", exact=False),
    Token("dynatrace.token", "Dynatrace token", "dt0c01. dt0s01. dt0s02. dt0s08. dt0s16.", "w8-24 '.' w60-64"),
    Token("datadog.key", "Datadog key", "ddapi_ ddapp_ ddpat_", "w30-70"),
    Token("honeycomb.key", "Honeycomb key", "hcaik_ hcbik_ hcxik_ hcamk_", "w50-70"),
    Token("logfire.token", "Logfire token", "pylf_v1_", "n40-64"),
    Token("rollbar.token", "Rollbar token", "post_server_item_", "h32"),
    Token("postman.key", "Postman key", "PMAK-", "x24 '-' x34"),
    Token("databricks.token", "Databricks token", "dapi", "h32 '-' d1"),
    Token("databricks.token", "Databricks token", "dapi dose dsapi", "h32"),
    Token("doppler.token", "Doppler token", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.", "o40-60"),
    Token("linear.key", "Linear key", "lin_api_ lin_oauth_", "w32-64"),
    Token("notion.token", "Notion token", "ntn_ secret_", "w40-50"),
    Token("airtable.token", "Airtable token", "pat", "w14 '.' h64"),
    Token("figma.token", "Figma token", "figd_ figo_ figor_ figu_", "u38-60", exact=False),
    Token("contentful.token", "Contentful token", "CFPAT-", "u43", exact=False),
    Token("typeform.token", "Typeform token", "tfp_", "o40-64", exact=False),
    Token("launchdarkly.key", "LaunchDarkly key", "sdk- mob- api-", "h8 '-' h4 '-' h4 '-' h4 '-' h12"),
    Token("maxmind.key", "MaxMind licence key", "_mmk", "", before="w6 '_' w29"),
    Token("onepassword.secret_key", "1Password secret key", "A3-", "U6 '-' U11 '-' U5 '-' U5 '-' U5"),
    Token("onepassword.account_key", "1Password secret key", "A3-", "U6 '-' U6 '-' U5 '-' U5 '-' U5 '-' U5"),
    Token("onepassword.token", "1Password service account", "ops_eyJ", "b200-1500 p0-3", exact=False),
    Token(
        "bitwarden.token",
        "Bitwarden secrets token",
        "0.",
        "h8 '-' h4 '-' h4 '-' h4 '-' h12 '.' w30 ':' b22 '=='",
        exact=False,
    ),
    Token("age.key", "age identity", "AGE-SECRET-KEY-1 AGE-SECRET-KEY-PQ-1", "U58-120"),
    Token("readme.key", "ReadMe key", "rdme_", "l60-80"),
    Token("frameio.token", "Frame.io token", "fio-u-", "t64", exact=False),
    Token("beamer.token", "Beamer token", "b_", "t44", random=True, exact=False),
    Token("adobe.secret", "Adobe client secret", "p8e- p8-", "l32"),
    Token("intra42.secret", "42 client secret", "s-s4t2ud- s-s4t2af- u-s4t2ud- u-s4t2af-", "h64"),
    Token("settlemint.token", "SettleMint token", "sm_aat_ sm_pat_ sm_sat_", "w16"),
    Token("clickhouse.key", "ClickHouse Cloud key", "4b1d", "w38"),
    Token("defined.token", "Defined Networking token", "dnkey-", "t26 '-' t52", exact=False),
    Token("tailscale.key", "Tailscale key", "tskey-", "a2-10 '-' w8-30 '-' w16-60"),
    Token("tailscale.short_key", "Tailscale key", "tskey-", "w2-30 '-' u20-60", random=True, exact=False),
    Token("ngrok.key", "ngrok token", "ngrok_ ak_2 cr_2", "w24-50", random=True),
    Token("mapbox.token", "Mapbox token", "sk.eyJ1Ijoi pk.eyJ1Ijoi", "u40-120 '.' u20-30", exact=False),
    Token("mapbox.public_token", "Mapbox token", "pk.", "l60 '.' l22"),
    Token(
        "microsoft.teams_webhook",
        "Microsoft Teams webhook",
        "webhook.office.com/webhookb2/ outlook.office.com/webhook/",
        "m36 '@' m36 '/IncomingWebhook/' l32 '/' m36",
        loose=True,
        exact=False,
    ),
    Token("microsoft.workflow_url", "signature of a Logic Apps URL", "&sig=", "u43", loose=True, exact=False),
    Token("salesforce.token", "Salesforce session", "00D", "w12-15 '!' o80-120", exact=False),
    Token("hubspot.token", "HubSpot token", "pat-na1- pat-eu1- pat-na2- pat-ap1-", "h8 '-' h4 '-' h4 '-' h4 '-' h12"),
    Token("cloudinary.key", "Cloudinary secret", "cloudinary://", "d12-18 ':' u20-40", exact=False),
    Token("fernet.token", "Fernet token", "gAAAAA", "u60-2000 p0-2", exact=False),
    Token("checkly.key", "Checkly key", "cu_", "h32"),
    Token("canva.secret", "Canva client secret", "cnvca", "u51", exact=False),
    Token("configcat.key", "ConfigCat key", "configcat-sdk-1/", "u22 '/' u22", exact=False),
    Token("devcycle.key", "DevCycle server key", "dvc_server_", "n8-48"),
    Token("elastic.key", "Elastic Cloud key", "essu_", "u60-200 p0-2", exact=False),
    Token("onfido.token", "Onfido token", "api_live. api_live_us. api_live_ca.", "u20-80", random=True, exact=False),
    Token("persona.key", "Persona key", "persona_production_ persona_sandbox_", "m20-80", exact=False),
    Token("proof.key", "Proof key", "prf_", "u20-80", random=True, exact=False),
    Token("rootly.key", "Rootly key", "rootly_", "h64"),
    Token("samsara.token", "Samsara token", "samsara_api_", "w26-32"),
    Token("thunderstore.token", "Thunderstore token", "tss_", "u20-80", random=True, exact=False),
    Token("unkey.key", "Unkey root key", "unkey_", "w20-32", random=True),
    Token("wakatime.key", "WakaTime key", "waka_", "m36-64", random=True),
    Token(
        "workato.token",
        "Workato token",
        "wrka-eyJ wrkaus-eyJ wrkaeu-eyJ",
        "u8-400 '.' u16-2000 '.' u64-800",
        exact=False,
    ),
    Token("zuplo.key", "Zuplo key", "zpka_", "l32 '_' h8"),
    Token(
        "gcnotify.key",
        "key of GC Notify or GOV.UK Notify",
        "gcntfy-",
        "m1-60 '-' x8 '-' x4 '-' x4 '-' x4 '-' x12 '-' x8 '-' x4 '-' x4 '-' x4 '-' x12",
    ),
    Token("tableau.token", "Tableau token", "==:", "w32", before="b22", exact=False),
    Token("trello.token", "Trello token", "ATTA", "h60-80"),
    Token("fastly.token", "Fastly token", "fastly_", "u30-50", exact=False),
    Token("bitcoin.extended_key", "extended private key (BIP 32)", "xprv yprv zprv tprv", "c100-112"),
    Token(
        "jwt.encrypted",
        "encrypted JSON Web Token",
        "eyJ",
        "u10-3000 '.' u0-5000 '.' u0-3000 '.' u0-3000 '.' u0-1000",
        check=_is_header,
        exact=False,
        dotted=True,
        given=".".join(_JWE),
    ),
    Token(
        "jwt",
        "JSON Web Token",
        "eyJ",
        "u10-3000 '.' u10-5000 '.' u0-1500",
        check=_is_header,
        exact=False,
        dotted=True,
        given=".".join([_HEADER, *_JWE[1:3]]),
    ),
    Token("jwt.encoded", "JSON Web Token in base64", "ZXlK", "K40-6000 p0-2", exact=False, dotted=True),
    Token("freemius.key", "Freemius key", "sk_", "u29", random=True),
    Token(
        "jwt.opaque",
        "token in the form of a JSON Web Token",
        ".ey",
        "k17-4000 '.' k0-2000 p0-2",
        before="'ey' w17-400",
        exact=False,
        dotted=True,
    ),
    Token(
        "private_key.encoded",
        "private key in base64",
        "LS0tLS1CRUdJTi",
        "b60-12000 p0-2",
        check=_is_private_key,
        exact=False,
        given="LS0tLS1CRUdJTi" + "BQUklWQVRFIEtFWS0tLS0t" + example("w64", "key"),
    ),
)


SEARCHED: Final = (
    Searched(
        "telegram.token",
        "Telegram bot token",
        r"[0-9]{5,16}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
        Prefilter(literals=(":",), pattern=r"[0-9]{5}:[A-Za-z0-9_-]{12}"),
        example("d9 ':AA' w33", "telegram"),
        random=True,
    ),
    Searched(
        "discord.token",
        "Discord bot token",
        r"[MNO][A-Za-z0-9_-]{22,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
        Prefilter(pattern=r"[MNO][A-Za-z0-9_-]{22,28}\."),
        example("'MT' w22 '.' w6 '.' w38", "discord"),
        random=True,
    ),
    Searched(
        "facebook.app_token",
        "Facebook app token",
        r"[0-9]{15,16}[|%][A-Za-z0-9_-]{27,40}",
        Prefilter(literals=("|", "%"), pattern=r"[0-9]{12}[|%][A-Za-z0-9_-]{6}"),
        example("d15 '|' w27", "facebook"),
        random=True,
    ),
    Searched(
        "twitter.bearer",
        "X (Twitter) bearer token",
        r"A{20,24}[A-Za-z0-9%]{60,120}",
        Prefilter(literals=("A" * 20,)),
        "A" * 22 + example("w40 '%3D' w40", "twitter"),
    ),
    Searched(
        "slack.webhook",
        "Slack webhook",
        # The dots may be written so that no one follows the link by mistake: `hooks[.]slack[.]com`.
        r"(?:https?://)?hooks[^\s\w/]{0,2}[^\s/][^\s\w/]{0,2}slack[^\s\w/]{0,2}[^\s/][^\s\w/]{0,2}com"
        r"/(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,100}",
        Prefilter(literals=("hooks",), pattern=r"hooks[^\x00-\x20]{1,5}slack"),
        "hooks.slack.com/services/" + example("'T' U8 '/B' U8 '/' w24", "slack"),
    ),
    Searched(
        "slack.config_token",
        "Slack configuration token",
        r"xoxe(?:[^\s]xox[bp])?-[0-9]-[A-Za-z0-9]{100,200}",
        Prefilter(literals=("xoxe",), pattern=r"xoxe(?:[^\x00-\x20]xox|-[0-9]-)"),
        "xoxe.xoxp-1-" + example("U163", "slack"),
    ),
    Named("okta.token", "Okta token", "okta", "'00' t40"),
    Named("meraki.key", "Cisco Meraki key", "meraki", "h40"),
    Named("cohere.key", "Cohere key", "cohere co_api_key", "w40"),
    Named("sumologic.id", "id of a Sumo Logic key", "sumo", "'su' w12", given="sukJP9csi1HqqT"),
    Named("privateai.key", "Private AI key", "privateai private-ai private_ai", "l32"),
    Searched(
        "aws.mws_token",
        "Amazon MWS token",
        r"amzn\.(?:mws|oa2-cs\.v1)\.[a-f0-9-]{36,64}",
        Prefilter(literals=("amzn.mws.", "amzn.oa2-cs.")),
        "amzn.mws." + example("h8 '-' h4 '-' h4 '-' h4 '-' h12", "amazon"),
    ),
)


def _apart() -> tuple[Group, ...]:
    """Build one prefilter for each field, and one for each rule whose few letters also occur in prose."""
    fields = {"cloud": CLOUD, "source": SOURCE, "payment": PAYMENT, "chat": CHAT, "models": MODELS, "tools": TOOLS}
    underscored = [
        rule
        for field in fields.values()
        for rule in field
        if not rule.before and all("_" in literal[1:] for literal in rule.anchors)
    ]
    groups: list[Group] = [Underscored("underscored", underscored)]
    first = len(underscored)
    for name, field in fields.items():
        others = [rule for rule in field if rule not in underscored]
        rare = [rule for rule in others if not rule.before and min(map(len, rule.anchors)) >= RARE]
        groups.append(TokenRules(name, rare, first))
        first += len(rare)
        for rule in others:
            if rule not in rare:
                groups.append(TokenRules(rule.kind, [rule], first))
                first += 1
    return tuple(groups)


RARE: Final = 4  # least length of a literal that is rare in ordinary text
GROUPS: Final[tuple[Group, ...]] = (*_apart(), *SEARCHED)
