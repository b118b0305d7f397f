"""Issuers whose keys have no form of their own: beside their name, a key, token or secret may be any random text."""

import re
from typing import Final

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
_BY_FIRST: Final = re.compile(
    r"(?:(?<![a-z])|(?<=my)|(?<=the))(?:" + "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True)) + ")"
)


def vendor(lowered: str) -> str | None:
    """Return the issuer named in a text (in lower case, some words long), or None."""
    match = _BY_FIRST.search(lowered)
    return match[0] if match else None
