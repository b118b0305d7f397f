"""Settings: their sources, which of them wins, and the messages about wrong ones."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.app.settings import (
    FILE,
    BadSettings,
    Settings,
    _fields,
    check_settings,
    is_left_out,
    load,
    settings_files,
    unknown_variables,
    variable_of,
    with_values,
)
from understudy.extensions.openid.settings import OpenIdSettings
from understudy.extensions.traces.settings import OtlpSettings
from understudy.models.prices import Price, PriceTable
from understudy.models.timeouts import Times
from understudy.storage.sqlite import FILE_NAME


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(**values: object) -> str:
    with pytest.raises(BadSettings) as caught:
        load(**values)
    return str(caught.value)


def test_the_later_source_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).write_text('[understudy]\nport = 1\nmodel = "a"\nhost = "::1"\nmodels.words_per_s = 5\n')
    (folder / "more.toml").write_text('[understudy]\nport = 2\nmodel = "b"\nhost = "localhost"\n')
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "more.toml")
    monkeypatch.setenv("UNDERSTUDY_PORT", "3")
    monkeypatch.setenv("UNDERSTUDY_MODEL", "c")
    settings = load(port=4, data_dir=None)
    assert (settings.port, settings.model, settings.host, settings.models.words_per_s) == (4, "c", "localhost", 5.0)
    assert settings_files() == [Path(FILE), Path("more.toml")]


def test_tables_of_several_files_go_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of secrets need not repeat what another says; of one member the later file's counts."""
    (folder / FILE).write_text(
        "[understudy.providers.mistral]\nurl = 'https://a.example/v1'\nwindow_tokens = 9_000\n"
        "[understudy.models]\ncurrency = 'EUR'\nprices.x = {input = 1, output = 2}\n"
        "[understudy.models.timeouts.openai-chat]\nfirst_token_s = 300\n"
    )
    (folder / "more.toml").write_text(
        "[understudy.providers.mistral]\nkey = 'k'\nwindow_tokens = 8_000\n"
        "[understudy.models.prices.x]\ninput = 3\noutput = 2\n"
    )
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "more.toml")
    settings = load()
    mistral = settings.providers["mistral"]
    assert (mistral.url, mistral.key, mistral.window_tokens, mistral.api) == (
        "https://a.example/v1",
        "k",
        8_000,
        "chat",
    )
    assert settings.models.prices == PriceTable("EUR", {"x": Price(3, 2)})
    assert settings.models.timeouts == {"openai-chat": Times(first_token_s=300)}
    assert "'k'" not in repr(settings)


def test_limits_have_a_section_and_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).write_text("[understudy.limits]\nrun_s = 7\nruns_total = 8\n")
    monkeypatch.setenv(variable_of("limits.run_s"), "2.5")
    assert variable_of("limits.run_s") == "UNDERSTUDY_LIMITS_RUN_S"
    assert (load().limits.run_s, load().limits.runs_total, load().limits.runs_per_user) == (2.5, 8, 10)


@pytest.mark.parametrize("text", ["", "  ", "tcp://10.96.0.7:8002", "udp://[fd00::7]:8002"])
def test_a_variable_that_a_platform_leaves_empty_or_makes_is_as_if_unset(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Compose of `${NAME:-}`, Kubernetes of a service of this name. A file of Windows begins with a mark."""
    (folder / FILE).write_bytes(b"\xef\xbb\xbf[understudy]\r\nport = 8100\r\n")
    names = ("port",) if "://" in text else [name for name in _fields() if name != "builtin_agents"]
    for name in names:
        monkeypatch.setenv(variable_of(name), text)
        monkeypatch.setenv(f"{variable_of(name)}_FILE", " ")
    assert all(is_left_out(variable_of(name)) for name in names)
    assert (load().port, load().log.level) == (8100, Settings().log.level)
    monkeypatch.setenv(variable_of("port"), "8200")
    assert (is_left_out(variable_of("port")), load().port) == (False, 8200)


def test_variables_that_are_no_settings_are_named_with_what_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [variable for variable in os.environ if variable.startswith("UNDERSTUDY_")]:
        monkeypatch.delenv(name)
    for name in (
        "UNDERSTUDY_LIMITS_RUNS_TOTALL", "understudy_port", "UNDERSTUDY_COLOUR", "UNDERSTUDY_SECRET_FILE",
        "UNDERSTUDY_TOKEN", "UNDERSTUDY_TOKENS", "UNDERSTUDY_SERVICE_HOST", "UNDERSTUDY_SERVICE_PORT_HTTP",
        "UNDERSTUDY_PORT_8002_TCP_ADDR", "UNDERSTUDY_PORT_8002_TCP", "UNDERSTUDY_REDIS_PORT_6379_TCP_PROTO",
        "UNDERSTUDY_ENV_LANG", "UNDERSTUDY_REDIS_SERVICE_PORT", "UNDERSTUDY_HEADLESS_PORT_53_UDP",
    ):  # fmt: skip
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("UNDERSTUDY_REDIS_PORT", "tcp://10.0.0.1:6379")
    monkeypatch.setenv("UNDERSTUDY_NAME", "/web/understudy")
    assert unknown_variables() == {
        "UNDERSTUDY_COLOUR": "", "UNDERSTUDY_LIMITS_RUNS_TOTALL": "UNDERSTUDY_LIMITS_RUNS_TOTAL",
        "UNDERSTUDY_TOKENS": "", "understudy_port": "UNDERSTUDY_PORT",
    }  # fmt: skip


def test_lists_are_separated_by_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().builtin_agents is None
    monkeypatch.setenv("UNDERSTUDY_ALLOWED_ORIGINS", "https://a.example:8443, https://b.example")
    monkeypatch.setenv("UNDERSTUDY_BUILTIN_AGENTS", "")
    assert (load().allowed_origins, load().builtin_agents) == (["https://a.example:8443", "https://b.example"], [])


def test_a_path_in_a_file_is_seen_from_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "etc").mkdir()
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "etc/u.toml")
    text = '[understudy]\ndata_dir = "here"\ntls.certificate = "c.pem"\ntls.key = "/k.pem"\njwt.audience = "chat"\n'
    (folder / "etc" / "u.toml").write_text(f'{text}jwt.keys = "keys.json"\n')
    settings = load()
    assert settings.data_dir.absolute() == folder / "etc" / "here"
    assert (settings.tls.certificate, settings.tls.key) == (folder / "etc" / "c.pem", Path("/k.pem"))
    assert settings.jwt.keys == "etc/keys.json"
    (folder / "etc" / "u.toml").write_text(f'{text}jwt.keys = "https://id.example.org/keys"\n')
    assert load().jwt.keys == "https://id.example.org/keys"


def test_the_default_data_folder_is_absolute(folder: Path) -> None:
    """A program that changes its working folder after it has read the settings still uses the same data."""
    assert load().data_dir == folder / "data"


def test_no_source_code_is_read_for_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """To parse the module of the settings takes a tenth of the start."""
    read: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr("inspect.getsource", lambda kind: (read.append(kind), "class Read:\n    pass\n")[1])
        load()
    assert not read


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('port = "many"', "port must be a whole number, at least 0 and at most 65535, but is 'many'"),
        ("port = 70000", "port must be a whole number, at least 0 and at most 65535, but is 70000"),
        ("port = true", "port must be a whole number, at least 0 and at most 65535, but is True"),
        ("session.token_ttl_s = 1.5", "session.token_ttl_s must be a whole number of seconds, above 0, but is 1.5"),
        (
            "session.refresh_grace_s = -1",
            "session.refresh_grace_s must be a whole number of seconds, at least 0, but is -1",
        ),
        ("compression_from_bytes = -1", "compression_from_bytes must be a whole number, at least 0, but is -1"),
        ("tls.key = 5", "tls.key must be a path, but is 5"),
        ('log.level = "loud"', "log.level must be one of debug, info, warning, error, but is 'loud'"),
        ('allowed_origins = "x"', "allowed_origins must be a list of texts, but is 'x'"),
        ("secret = 5", "secret must be a text, but is not shown here"),
        ("limits.run_s = 0", "limits.run_s must be a number of seconds, above 0, but is 0"),
        ("limits.run_s = nan", "limits.run_s must be a number of seconds, above 0, but is nan"),
        ("limits = 3", "limits must be a table: [understudy.limits]"),
        ("prot = 1", "unknown setting prot (did you mean 'port'?)"),
        ("limits.run_x = 1", "unknown setting limits.run_x (did you mean 'limits.run_s'?)"),
        ("models = 3", "models must be a table: [understudy.models]"),
        ("models.price = {}", "unknown setting models.price (did you mean 'models.images'?)"),
        ("models.currency = 1", "models.currency must be a text"),
        ("models.prices = 1", 'models.prices must be a table of tables: [understudy.models.prices."NAME"]'),
        ("models.prices.a = 1", 'models.prices."a" must be a table of input, output, cached_input, cache_write'),
        ("models.prices.a.input = 1", 'models.prices."a" needs output'),
        (
            "models.prices.a = {input = -1, output = 1}",
            'models.prices."a".input must be a number, at least 0, but is -1',
        ),
        (
            "models.prices.a = {input = inf, output = 1}",
            'models.prices."a".input must be a number, at least 0, but is inf',
        ),
        (
            "models.timeouts.a.idle_s = true",
            'models.timeouts."a".idle_s must be a number of seconds, above 0 and at most 3600, but is True',
        ),
        ("models.timeouts.a.idle = 1", "unknown setting models.timeouts.\"a\".idle (did you mean 'idle_s'?)"),
        ("providers.a.kye = 1", "unknown setting providers.\"a\".kye (did you mean 'key'?)"),
        ("providers.a.key = 1", 'providers."a".key must be a text, but is not shown here'),
        ("providers.a.name = 'b'", 'unknown setting providers."a".name'),
        (
            "providers.a.api = 'chats'",
            "providers.\"a\".api must be one of chat, responses, messages, gemini, converse, cohere, but is 'chats'",
        ),
        (
            "providers.a.client = 'aws'",
            "providers.\"a\".client must be one of azure, bedrock, foundry, vertex, but is 'aws'",
        ),
        ("providers.a.images = 1", 'providers."a".images must be true or false, but is 1'),
        (
            "providers.a.url = 'a'",
            "providers.a.url must be an address such as https://api.mistral.ai/v1, without user and query",
        ),
        (
            'webhook.urls = ["ftp://a"]',
            "webhook.urls must be an address such as https://hooks.example.org/understudy, not 'ftp://a'",
        ),
        (
            'webhook.urls = ["https://a.example"]',
            "webhook.urls and webhook.secret (UNDERSTUDY_WEBHOOK_SECRET) belong together: receivers check by the "
            "secret that a webhook is from this server (`openssl rand -hex 32` makes one)",
        ),
        ("[other]", "unknown section or setting other: all settings belong under [understudy]"),
    ],
)
def test_a_fault_is_one_sentence_with_name_and_form(folder: Path, line: str, sentence: str) -> None:
    (folder / FILE).write_text(f"[understudy]\n{line}\n")
    assert refused().replace(f" in {FILE}", "") == sentence


def test_every_fault_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).write_text("[understudy]\ncolour_of_nothing = 1\n")
    monkeypatch.setenv("UNDERSTUDY_PORT", "many")
    monkeypatch.setenv("UNDERSTUDY_LIMITS_RUNS_TOTAL", "0")
    text = refused().split("; ")
    assert [line.rpartition(" in ")[2] for line in text] == [FILE, "UNDERSTUDY_PORT", "UNDERSTUDY_LIMITS_RUNS_TOTAL"]


def test_unreadable_files_are_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).write_text("[understudy\n")
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "gone.toml")
    text = refused()
    assert f"{FILE} is not valid TOML" in text
    assert "gone.toml cannot be read" in text


def test_arguments_of_the_call_are_checked_too() -> None:
    assert refused(prot=1) == "there is no setting called prot"
    assert "port must be a whole number" in refused(port=-1)
    assert "the command or the call" in refused(port=-1)


@pytest.mark.parametrize(
    ("url", "folder_of_it"),
    [
        ("", "data"),
        ("sqlite:///store", "store"),
        ("sqlite:////var/store", "/var/store"),
        ("sqlite:////var/store/understudy.db", "/var/store"),
        ("sqlite:///understudy.db", "."),
    ],
)
def test_a_database_url_names_a_folder(url: str, folder_of_it: str) -> None:
    assert Settings(database_url=url).database_folder == Path(folder_of_it)
    check_settings(Settings(database_url=url))


def test_a_plain_file_is_no_database_folder(folder: Path) -> None:
    (folder / "notes").write_text("x")
    assert "is the name of a file" in refused(database_url="sqlite:///notes")


@pytest.mark.promise("wire.anonymous-nowhere-else")
def test_the_world_needs_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "UNDERSTUDY_SECRET" in refused(host="0.0.0.0")
    monkeypatch.setenv("UNDERSTUDY_SECRET", "hunter2")
    text = refused(host="0.0.0.0")
    assert "too short" in text
    assert "hunter2" not in text
    monkeypatch.setenv("UNDERSTUDY_SECRET", "x" * 32)
    assert not load(host="0.0.0.0").anonymous
    assert "xxx" not in repr(load())
    assert "hunter2" not in repr(load(**REDIS, **{"nodes.redis_url": "redis://:hunter2@cache"}))


def test_loading_settings_imports_no_pydantic_and_leaves_it_importable(tmp_path: Path) -> None:
    program = (
        "import sys; from understudy.app.settings import load; load(); assert 'pydantic' not in sys.modules\n"
        "import pydantic; load(); assert sys.modules['pydantic'] is pydantic"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


SQLITE = "sqlite:///FOLDER, sqlite:////ABSOLUTE/FOLDER, or either of these two with /understudy.db"
REDIS = {"database_url": "postgresql://me@db/x"}
SIGN_IN = {
    "host": "0.0.0.0", "secret": "x1y2" * 8, "oidc.issuer": "https://id.example.org", "oidc.client_id": "chat",
    "public_url": "https://chat.example.org",
}  # fmt: skip
ACCOUNTS = {"host": "0.0.0.0", "accounts.enabled": True, "public_url": "https://chat.example.org"}
COLLECTOR = {"otlp_endpoint": "http://localhost:4318", "otlp_headers": ["x-key=a b", "y-key="]}
NO_FOLDERS = ("/a/other.db", "x.sqlite3", "", ":memory:", "a?mode=ro")
NO_REDIS = (
    "redis:localhost", "http://:hunter2@cache/0", "redis://:hunter2@cache:port", "redis://:hunter2@cache/x", "redis://",
)  # fmt: skip
ORIGINS = {"allowed_origins": ["https://example.org", "http://localhost:3000"]}
PROXIES = {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]}
NO_ORIGINS = ("*", "example.org", "https://*.example.org", "https://example.org/page")


@pytest.mark.parametrize(
    ("good", "wrong", "words"),
    [
        *(({}, {"database_url": f"sqlite:///{path}"}, SQLITE) for path in NO_FOLDERS),
        ({}, {"database_url": "mysql://me:hunter2@db/x"}, "'mysql'"),
        (REDIS, {"nodes.redis_url": "redis://:hunter2@cache?ssl=true"}, "option 'ssl'"),
        *((REDIS, {"nodes.redis_url": url}, "redis://HOST:PORT") for url in NO_REDIS),
        ({}, {"nodes.redis_url": "redis://:hunter2@cache"}, "postgresql://USER@HOST/NAME"),
        (REDIS, {"extensions": ["-nodes"]}, "needs the extension nodes"),
        ({}, {"jwt_keys": "keys.json", "jwt_issuer": "https://id.example.org"}, "UNDERSTUDY_JWT_AUDIENCE"),
        ({}, {"jwt_keys": "ftp://id.example.org/keys"}, "UNDERSTUDY_JWT_KEYS"),
        ({}, {"jwt_keys": "https://me:hunter2@id.example.org/keys"}, "UNDERSTUDY_JWT_KEYS"),
        ({}, {"jwt_keys": "http:///keys"}, "UNDERSTUDY_JWT_KEYS"),
        ({}, {"jwt_issuer": "x"}, "has no effect without jwt.keys"),
        ({}, {"jwt_audience": "x"}, "has no effect without jwt.keys"),
        *((ORIGINS, {"allowed_origins": [origin]}, "allowed_origins") for origin in NO_ORIGINS),
        ({}, {"widgets.origin": "widgets.example.org"}, "widgets.origin"),
        (PROXIES, {"trusted_proxies": ["proxy.example.org"]}, "trusted_proxies"),
        (PROXIES, {"trusted_proxies": ["0.0.0.0/0", "::/0"]}, "trusted_proxies"),
        ({}, {"tls_key": Path("k.pem")}, "belong together"),
        (SIGN_IN, {"oidc.client_id": ""}, "oidc.client_id"),
        (SIGN_IN, {"oidc.issuer": "id.example.org"}, "must be an address"),
        (SIGN_IN, {"oidc.issuer": "http://id.example.org"}, "https"),
        (SIGN_IN, {"oidc.issuer": "https://id.example.org/?x=1"}, "must be an address"),
        (SIGN_IN, {"oidc.scopes": ["profile"]}, "openid"),
        (SIGN_IN, {"oidc.recheck_s": 5}, "oidc.recheck_s"),
        (SIGN_IN, {"public_url": ""}, "public_url"),
        (SIGN_IN, {"public_url": "https://chat.example.org/chat?a"}, "public_url"),
        (SIGN_IN, {"public_url": "chat.example.org/chat"}, "public_url"),
        (SIGN_IN, {"secret": "", "jwt_keys": "keys.json", "jwt_audience": "chat"}, "needs secret"),
        (SIGN_IN, {"oidc.issuer": ""}, "no effect without oidc.issuer"),
        (ACCOUNTS, {"public_url": ""}, "accounts need https"),
        (ACCOUNTS, {"public_url": "http://chat.example.org"}, "accounts need https"),
        (ACCOUNTS, {"oidc.issuer": "https://id.example.org", "oidc.client_id": "chat"}, "both set"),
        (ACCOUNTS, {"tenant_claim": "org"}, "tenant"),
        (ACCOUNTS, {"database_url": "postgresql://me@db/x"}, "secret"),
        (COLLECTOR, {"otlp_endpoint": "localhost:4318"}, "otlp.endpoint must be an address such as http://localhost"),
        (COLLECTOR, {"otlp_endpoint": "http://user:pw@localhost:4318"}, "otlp.endpoint must be an address"),
        (COLLECTOR, {"otlp_endpoint": "http://localhost:4318/v1/traces?key=1"}, "without /v1/traces"),
        (COLLECTOR, {"otlp_headers": ["Authorization"]}, "one of them is not (not shown here)"),
        (COLLECTOR, {"otlp_headers": ["Author ization=Bearer 1"]}, "one of them is not (not shown here)"),
        (COLLECTOR, {"otlp_headers": ["x-key=1\r\nx-other: 2"]}, "the value of x-key in otlp.headers"),
        (COLLECTOR, {"otlp_headers": ["x-key=ключ"]}, "the value of x-key in otlp.headers"),
        (COLLECTOR, {"otlp_endpoint": ""}, "no effect without otlp.endpoint"),
        ({}, {"otlp_content": True}, "no effect without otlp.endpoint"),
        (COLLECTOR, {"otlp_ratio": 1.5}, "otlp.ratio must be a number"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_a_secret(
    good: dict[str, Any], wrong: dict[str, Any], words: str
) -> None:
    load(**good)
    text = refused(**(good | wrong))
    assert words in text
    assert not any(secret in text for secret in ("hunter2", "Bearer", "ключ"))


def test_users_sign_in_and_the_server_has_a_secret_or_needs_none() -> None:
    settings = load(**ACCOUNTS)
    anonymous = ACCOUNTS | {"host": "127.0.0.1"}
    for values, signs, why in (
        (ACCOUNTS, True, "the server makes a secret of its own"),
        (anonymous, True, "with accounts nobody is anonymous"),
        (SIGN_IN, True, "the provider signs people in"),
        (ACCOUNTS | {"database_url": "postgresql://me@db/x", "secret": "x1y2" * 8}, True, "a secret is shared"),
        ({"oidc.issuer": "http://127.0.0.1:9/", "oidc.client_id": "chat"}, True, "on this machine it needs none"),
        ({"host": "0.0.0.0", "jwt_keys": "https://id.example.org/keys", "jwt_audience": "chat"}, False, "only theirs"),
        ({"jwt_keys": "keys.json", "jwt_audience": "chat"}, True, "on this machine it has a secret"),
    ):
        settings = load(**values)
        assert (settings.signs, settings.anonymous) == (signs, False), why


def private(path: Path, text: str = "f" * 40) -> Path:
    """Write a file that only its owner may read."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_secret_is_taken_from_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that the variable with `_FILE` names goes before that in systemd's folder, and the variable before both;
    an empty variable counts as none. A settings file is overridden."""
    (folder / FILE).write_text(f'[understudy]\nsecret = "{"t" * 40}"\n')
    private(folder / "UNDERSTUDY_SECRET", "c" * 40 + "\n")
    private(folder / "UNDERSTUDY_DATABASE_URL", "postgresql://ann:pw@db/chats\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert (str(load().secret), load().database_url) == ("c" * 40, "postgresql://ann:pw@db/chats")
    monkeypatch.setenv("UNDERSTUDY_SECRET", "")
    monkeypatch.setenv("UNDERSTUDY_SECRET_FILE", str(private(folder / "mine")))
    monkeypatch.setenv("UNDERSTUDY_ACCEPTED_SECRETS_FILE", str(private(folder / "more", f"{'a' * 32}\n{'b' * 32}\n")))
    assert str(load().secret) == "f" * 40
    assert load().accepted_secrets == ["a" * 32, "b" * 32]
    monkeypatch.delenv("UNDERSTUDY_SECRET_FILE")
    monkeypatch.setenv("UNDERSTUDY_SECRET", "e" * 40)
    assert str(load().secret) == "e" * 40


def test_a_file_that_cannot_be_a_secret_is_named_and_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_SECRET_FILE", str(folder / "mine"))
    assert refused() == f"UNDERSTUDY_SECRET_FILE: the file {folder / 'mine'} cannot be read (No such file or directory)"
    private(folder / "mine", "")
    assert "is empty" in refused()
    (folder / "mine").write_bytes(b"\xff" * 40)
    assert "is no text" in refused()
    (folder / "mine").write_text("f" * 40)
    (folder / "mine").chmod(0o644)
    assert refused().endswith("may be read by others than its owner: chmod 600 mine")
    (folder / "mine").chmod(0o640)
    assert str(load().secret) == "f" * 40
    monkeypatch.setenv("UNDERSTUDY_SECRET", "e" * 40)
    assert refused() == "UNDERSTUDY_SECRET and UNDERSTUDY_SECRET_FILE are both set: one of them must go"


def test_a_secret_on_a_file_system_mounted_read_only_may_have_any_mode(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So Docker and Kubernetes mount them into a container."""
    private(folder / "mine").chmod(0o444)
    monkeypatch.setenv("UNDERSTUDY_SECRET_FILE", str(folder / "mine"))
    real = os.statvfs(folder)
    read_only = os.statvfs_result([*real[:8], real.f_flag | os.ST_RDONLY, *real[9:]])
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert str(load().secret) == "f" * 40


def test_accepted_secrets_are_as_long_as_a_secret_and_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_ACCEPTED_SECRETS", "too-short")
    assert "too short" in refused(secret="s" * 32)
    assert "too-short" not in refused(secret="s" * 32)
    monkeypatch.setenv("UNDERSTUDY_ACCEPTED_SECRETS", "a" * 32)
    provider = {"jwt_keys": "https://id.example.org/keys", "jwt_audience": "chat"}
    assert "has no effect without secret" in refused(host="192.0.2.1", **provider)
    assert load().weak_secrets == ["accepted_secrets"]
    assert "aaaa" not in repr(load())


def test_headers_of_a_collector_can_be_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private(folder / "otlp", "Authorization=Bearer 1f=\nx-team=blue\n")
    monkeypatch.setenv("UNDERSTUDY_OTLP_HEADERS_FILE", str(path))
    settings = load(otlp_endpoint="http://localhost:4318")
    assert settings.of(OtlpSettings).headers == ["Authorization=Bearer 1f=", "x-team=blue"]
    assert "1f" not in repr(settings)


def test_values_that_follow_from_settings() -> None:
    assert load(database_url=f"sqlite:///a/{FILE_NAME}").database_folder.name == "a"
    assert Settings(host="::1").url_at(1) == "http://[::1]:1"
    assert load(tls_certificate=Path("c.pem"), tls_key=Path("k.pem")).url_at(9) == "https://127.0.0.1:9"
    assert [
        with_values(Settings(), session_token_ttl_s=60, session_refresh_grace_s=grace_s).grace_of_refresh_s
        for grace_s in (None, 0)
    ] == [60, 0]
    overrides = ({}, {"models_window_tokens": 4_096}, {"models_window_tokens": 4_096, "models_max_output": 500})
    assert [with_values(Settings(), **values).output_tokens for values in overrides] == [8_192, 2_048, 500]


def test_values_of_a_table_are_named_as_their_variables_or_their_settings() -> None:
    settings = with_values(
        Settings(), own={OpenIdSettings: OpenIdSettings(title="Here")}, oidc_client_id="chat", tls_key=Path("k")
    )
    assert settings.of(OpenIdSettings) == OpenIdSettings(title="Here", client_id="chat")
    assert settings == with_values(settings, **{"oidc.client_id": "chat", "tls.key": Path("k")})
    for name in ("oidc.nothing", "nothing.here", "nothing"):
        with pytest.raises(TypeError, match="nothing"):
            with_values(Settings(), **{name: 1})
