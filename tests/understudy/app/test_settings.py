"""Settings: their sources, which of them wins, and the messages about wrong ones."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.agents.agent import BUILTIN
from understudy.app.settings import (
    FILE,
    BadSettings,
    Settings,
    check_settings,
    load,
    settings_files,
    unknown_variables,
    variable_of,
)
from understudy.storage.sqlite import FILE_NAME


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(**given: object) -> str:
    """Return the message of refused settings."""
    with pytest.raises(BadSettings) as caught:
        load(**given)
    return str(caught.value)


def test_the_later_source_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).write_text('[understudy]\nport = 1\nmodel = "a"\nhost = "::1"\nwords_per_s = 5\n')
    (folder / "more.toml").write_text('[understudy]\nport = 2\nmodel = "b"\nhost = "localhost"\n')
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "more.toml")
    monkeypatch.setenv("UNDERSTUDY_PORT", "3")
    monkeypatch.setenv("UNDERSTUDY_MODEL", "c")
    settings = load(port=4, data_dir=None)
    assert (settings.port, settings.model, settings.host, settings.words_per_s) == (4, "c", "localhost", 5.0)
    assert settings_files() == [Path(FILE), Path("more.toml")]


def test_limits_have_a_section_and_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`UNDERSTUDY_LIMITS_…` wins over `[understudy.limits]`."""
    (folder / FILE).write_text("[understudy.limits]\nrun_s = 7\nruns_total = 8\n")
    monkeypatch.setenv(variable_of("limits.run_s"), "2.5")
    assert variable_of("limits.run_s") == "UNDERSTUDY_LIMITS_RUN_S"
    assert (load().limits.run_s, load().limits.runs_total, load().limits.runs_per_user) == (2.5, 8, 10)


def test_variables_that_are_no_settings_are_named_with_what_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with small letters; those of hooks, of commands and of Kubernetes are left alone."""
    for name in [each for each in os.environ if each.startswith("UNDERSTUDY_")]:
        monkeypatch.delenv(name)
    for name in (
        "UNDERSTUDY_LIMITS_RUNS_TOTALL", "understudy_port", "UNDERSTUDY_COLOUR", "UNDERSTUDY_SECRET_FILE",
        "UNDERSTUDY_HOOK_DEPLOY", "UNDERSTUDY_TOKEN", "UNDERSTUDY_SERVICE_HOST", "UNDERSTUDY_PORT_8002_TCP_ADDR",
    ):  # fmt: skip
        monkeypatch.setenv(name, "1")
    assert unknown_variables() == {
        "UNDERSTUDY_COLOUR": "", "UNDERSTUDY_LIMITS_RUNS_TOTALL": "UNDERSTUDY_LIMITS_RUNS_TOTAL",
        "understudy_port": "UNDERSTUDY_PORT",
    }  # fmt: skip


def test_origins_keep_their_colons_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is split at commas only."""
    monkeypatch.setenv("UNDERSTUDY_ALLOWED_ORIGINS", "https://a.example:8443, https://b.example")
    assert load().allowed_origins == ["https://a.example:8443", "https://b.example"]


def test_built_in_agents_can_be_left_out_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is an empty list."""
    assert load().builtin_agents == list(BUILTIN)
    for text, names in (("", []), ("guide, insights", ["guide", "insights"])):
        monkeypatch.setenv("UNDERSTUDY_BUILTIN_AGENTS", text)
        assert load().builtin_agents == names


def test_a_path_in_a_file_is_seen_from_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative `data_dir` is relative to the settings file's folder."""
    (folder / "etc").mkdir()
    (folder / "etc" / "u.toml").write_text('[understudy]\ndata_dir = "here"\n')
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "etc/u.toml")
    assert load().data_dir.absolute() == folder / "etc" / "here"


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
        ('port = "many"', f"port must be a whole number, at least 0 and at most 65535, but is 'many' in {FILE}"),
        ("port = 70000", f"port must be a whole number, at least 0 and at most 65535, but is 70000 in {FILE}"),
        ("port = true", f"port must be a whole number, at least 0 and at most 65535, but is True in {FILE}"),
        ("token_ttl_s = 1.5", f"token_ttl_s must be a whole number of seconds, above 0, but is 1.5 in {FILE}"),
        ("refresh_grace_s = -1", f"refresh_grace_s must be a whole number of seconds, at least 0, but is -1 in {FILE}"),
        (
            "compression_from_bytes = -1",
            f"compression_from_bytes must be a whole number, at least 0, but is -1 in {FILE}",
        ),
        ("tls_key = 5", f"tls_key must be a path, but is 5 in {FILE}"),
        ('log_level = "loud"', f"log_level must be one of debug, info, warning, error, but is 'loud' in {FILE}"),
        ('allowed_origins = "x"', f"allowed_origins must be a list of texts, but is 'x' in {FILE}"),
        ("secret = 5", f"secret must be a text, but is not shown here in {FILE}"),
        ("limits.run_s = 0", f"limits.run_s must be a number of seconds, above 0, but is 0 in {FILE}"),
        ("limits.run_s = nan", f"limits.run_s must be a number of seconds, above 0, but is nan in {FILE}"),
        ("limits = 3", f"limits in {FILE} must be a table: [understudy.limits]"),
        ("prot = 1", f"unknown setting prot in {FILE}"),
        ("limits.run_x = 1", f"unknown setting limits.run_x in {FILE}"),
        ("models = 3", f"models must be a table: [understudy.models] in {FILE}"),
        (
            'webhook_urls = ["ftp://a"]',
            "webhook_urls must be addresses such as https://hooks.example.org/understudy, not 'ftp://a'",
        ),
        (
            'webhook_urls = ["https://a.example"]',
            "webhook_urls and webhook_secret (UNDERSTUDY_WEBHOOK_SECRET) belong together: receivers check by the "
            "secret that a webhook is from this server (`openssl rand -hex 32` makes one)",
        ),
        ("[other]", f"unknown section or setting other in {FILE}: all settings belong under [understudy]"),
    ],
)
def test_a_fault_is_one_sentence_with_name_source_and_form(folder: Path, line: str, sentence: str) -> None:
    (folder / FILE).write_text(f"[understudy]\n{line}\n")
    assert refused() == sentence


def test_a_certificate_and_its_key_belong_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without the other is refused; both make the address https, and are relative to the file's folder."""
    assert "belong together" in refused(tls_key=Path("k.pem"))
    assert load(tls_certificate=Path("c.pem"), tls_key=Path("k.pem")).url_at(9) == "https://127.0.0.1:9"
    assert load().url_at(9) == "http://127.0.0.1:9"
    (folder / "etc").mkdir()
    (folder / "etc" / "u.toml").write_text('[understudy]\ntls_certificate = "c.pem"\ntls_key = "/k.pem"\n')
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "etc/u.toml")
    assert (load().tls_certificate, load().tls_key) == (folder / "etc" / "c.pem", Path("/k.pem"))


def test_every_fault_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One start reports all faults; a variable is named as such."""
    (folder / FILE).write_text("[understudy]\nprot = 1\n")
    monkeypatch.setenv("UNDERSTUDY_PORT", "many")
    monkeypatch.setenv("UNDERSTUDY_LIMITS_RUNS_TOTAL", "0")
    text = refused().split("; ")
    assert [each.rpartition(" in ")[2] for each in text] == [FILE, "UNDERSTUDY_PORT", "UNDERSTUDY_LIMITS_RUNS_TOTAL"]


def test_unreadable_files_are_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named file that does not exist, and one that is no TOML."""
    (folder / FILE).write_text("[understudy\n")
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "gone.toml")
    text = refused()
    assert f"{FILE} is not valid TOML" in text
    assert "gone.toml cannot be read" in text


def test_arguments_of_the_call_are_checked_too() -> None:
    """Names and values of the call."""
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


@pytest.mark.parametrize(
    "url", ["sqlite:////a/other.db", "sqlite:///x.sqlite3", "sqlite:///", "sqlite:///:memory:", "sqlite:///a?mode=ro"]
)
def test_other_files_are_refused_with_the_accepted_forms(url: str) -> None:
    """The message names the accepted forms."""
    text = refused(database_url=url)
    assert "sqlite:///FOLDER" in text
    assert "understudy.db" in text


def test_a_plain_file_is_no_database_folder(folder: Path) -> None:
    """Whatever its name."""
    (folder / "notes").write_text("x")
    assert "is the name of a file" in refused(database_url="sqlite:///notes")


def test_other_databases_are_refused_without_their_password() -> None:
    """The message shows the scheme only."""
    text = refused(database_url="postgres://me:hunter2@db/x")
    assert "'postgres'" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "url",
    [
        "redis:localhost",
        "http://:hunter2@cache/0",
        "redis://:hunter2@cache:port",
        "redis://:hunter2@cache/x",
        "redis://",
    ],
)
def test_an_address_that_is_no_redis_is_refused_without_its_password(url: str) -> None:
    """The message names the accepted form."""
    text = refused(redis_url=url, database_url="postgresql://me@db/x")
    assert "redis://HOST:PORT" in text
    assert "hunter2" not in text


def test_redis_is_for_servers_over_postgresql() -> None:
    text = refused(redis_url="redis://:hunter2@cache")
    assert "postgresql://USER@HOST/NAME" in text
    assert "hunter2" not in text
    settings = load(redis_url="redis://:hunter2@cache", database_url="postgresql://me@db/x")
    assert "hunter2" not in repr(settings)


def test_the_world_needs_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 bytes or more, and the message never shows it."""
    assert "UNDERSTUDY_SECRET" in refused(host="0.0.0.0")
    monkeypatch.setenv("UNDERSTUDY_SECRET", "hunter2")
    text = refused(host="0.0.0.0")
    assert "too short" in text
    assert "hunter2" not in text
    monkeypatch.setenv("UNDERSTUDY_SECRET", "x" * 32)
    assert not load(host="0.0.0.0").anonymous
    assert "xxx" not in repr(load())


def test_the_grace_of_a_refresh_is_as_long_as_a_token_lives() -> None:
    """Unless it is set."""
    assert Settings(token_ttl_s=60).grace_of_refresh_s == 60
    assert Settings(token_ttl_s=60, refresh_grace_s=0).grace_of_refresh_s == 0


def test_the_name_of_the_database_is_storages() -> None:
    assert load(database_url=f"sqlite:///a/{FILE_NAME}").database_folder.name == "a"


def test_an_address_is_one_a_browser_takes() -> None:
    """IPv6 addresses are in brackets."""
    assert Settings(host="::1").url_at(1) == "http://[::1]:1"


def test_the_world_may_come_with_tokens_of_a_provider() -> None:
    settings = load(host="0.0.0.0", jwks="https://id.example.org/keys", jwt_audience="chat")
    assert not settings.anonymous
    assert not settings.signs
    assert not load(jwks="keys.json", jwt_audience="chat").anonymous
    assert load(jwks="keys.json", jwt_audience="chat").signs


def test_a_provider_without_an_audience_is_refused() -> None:
    """A token that it signed for any other application would be accepted."""
    assert "UNDERSTUDY_JWT_AUDIENCE" in refused(jwks="keys.json", jwt_issuer="https://id.example.org")


@pytest.mark.parametrize(
    "jwks", ["ftp://id.example.org/keys", "https://me:hunter2@id.example.org/keys", "http:///keys"]
)
def test_keys_come_from_a_file_or_a_plain_address(jwks: str) -> None:
    """A password in a URL would be logged, so such a URL is refused without showing it."""
    text = refused(jwks=jwks)
    assert "UNDERSTUDY_JWKS" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("name", ["jwt_issuer", "jwt_audience"])
def test_what_has_no_effect_is_said(name: str) -> None:
    assert "has no effect without jwks" in refused(**{name: "x"})
    load(**{"jwt_audience": "x", name: "x", "jwks": "keys.json"})


def test_a_file_of_keys_is_seen_from_the_file_that_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "etc").mkdir()
    monkeypatch.setenv("UNDERSTUDY_SETTINGS", "etc/more.toml")
    (folder / "etc/more.toml").write_text('[understudy]\njwks = "keys.json"\njwt_audience = "chat"\n')
    assert load().jwks == "etc/keys.json"
    (folder / "etc/more.toml").write_text('[understudy]\njwks = "https://id.example.org/keys"\njwt_audience = "chat"\n')
    assert load().jwks == "https://id.example.org/keys"


def test_an_origin_that_no_page_has_is_refused() -> None:
    for origin in ("*", "example.org", "https://*.example.org", "https://example.org/page"):
        assert "allowed_origins" in refused(allowed_origins=[origin])
    load(allowed_origins=["https://example.org", "http://localhost:3000"])


def test_a_trusted_proxy_is_an_address_or_a_network() -> None:
    assert "trusted_proxies" in refused(trusted_proxies=["proxy.example.org"])
    load(trusted_proxies=["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


def test_loading_settings_imports_no_pydantic_and_leaves_it_importable(tmp_path: Path) -> None:
    program = (
        "import sys; from understudy.app.settings import load; load(); assert 'pydantic' not in sys.modules\n"
        "import pydantic; load(); assert sys.modules['pydantic'] is pydantic"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_accepted_raw_keys_are_as_long_as_a_key_and_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_ACCEPTED_RAW_KEYS", f"{'a' * 32},too-short")
    assert "one of accepted_raw_keys (UNDERSTUDY_ACCEPTED_RAW_KEYS) is too short" in refused(raw_key="r" * 32)
    assert "too-short" not in refused(raw_key="r" * 32)
    monkeypatch.setenv("UNDERSTUDY_ACCEPTED_RAW_KEYS", f"{'a' * 32},file:/old")
    assert "has no effect without raw_key" in refused()
    monkeypatch.setenv("UNDERSTUDY_RAW_KEY", "0123456789abcdef" * 2)
    assert load().accepted_raw_keys == ["a" * 32, "file:/old"]
    assert load().weak_secrets == ["accepted_raw_keys"]
    assert "aaaa" not in repr(load())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"oidc_client_id": ""}, "oidc_client_id"),
        ({"oidc_issuer": "id.example.org"}, "must be an address"),
        ({"oidc_issuer": "http://id.example.org"}, "https"),
        ({"oidc_issuer": "https://id.example.org/?x=1"}, "must be an address"),
        ({"oidc_scopes": ["profile"]}, "openid"),
        ({"oidc_recheck_s": 5}, "oidc_recheck_s"),
        ({"public_url": ""}, "public_url"),
        ({"public_url": "https://chat.example.org/chat?a"}, "public_url"),
        ({"public_url": "chat.example.org/chat"}, "public_url"),
        ({"secret": "", "jwks": "keys.json", "jwt_audience": "chat"}, "needs secret"),
        ({"oidc_issuer": ""}, "no effect without oidc_issuer"),
    ],
)
def test_a_sign_in_has_what_it_needs(wrong: dict[str, Any], words: str) -> None:
    """Each fault is a sentence that names the setting."""
    good: dict[str, Any] = {
        "host": "0.0.0.0", "secret": "x1y2" * 8, "oidc_issuer": "https://id.example.org", "oidc_client_id": "chat",
        "public_url": "https://chat.example.org",
    }  # fmt: skip
    assert not load(**good).anonymous
    assert words in refused(**(good | wrong))


def test_a_sign_in_on_this_machine_needs_no_secret_of_its_own() -> None:
    """The server makes one, and nobody is anonymous."""
    settings = load(oidc_issuer="http://127.0.0.1:9/", oidc_client_id="chat")
    assert (settings.signs, settings.anonymous) == (True, False)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"public_url": ""}, "accounts need https"),
        ({"public_url": "http://chat.example.org"}, "accounts need https"),
        ({"oidc_issuer": "https://id.example.org", "oidc_client_id": "chat"}, "both set"),
        ({"tenant_claim": "org"}, "tenant"),
        ({"database_url": "postgresql://me@db/x"}, "secret"),
    ],
)
def test_accounts_have_what_they_need(wrong: dict[str, Any], words: str) -> None:
    """Passwords are not sent in the clear, a name is one person, and nodes have one secret."""
    good: dict[str, Any] = {"host": "0.0.0.0", "accounts": True, "public_url": "https://chat.example.org"}
    settings = load(**good)
    assert (settings.signs, settings.anonymous) == (True, False), "the server makes a secret of its own"
    assert not load(accounts=True).anonymous
    assert load(**good | {"database_url": "postgresql://me@db/x", "secret": "x1y2" * 8}).signs
    assert words in refused(**(good | wrong))


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


def test_a_raw_key_can_be_a_credential(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable with `_FILE` is the setting `raw_key_file`."""
    monkeypatch.setenv("UNDERSTUDY_STORE_RAW", "true")
    monkeypatch.setenv("UNDERSTUDY_RAW_KEY_FILE", str(private(folder / "key")))
    assert (str(load().raw_key), load().raw_key_file) == ("", folder / "key")
    monkeypatch.delenv("UNDERSTUDY_RAW_KEY_FILE")
    private(folder / "UNDERSTUDY_RAW_KEY")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert str(load().raw_key) == "f" * 40


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
    jwks = {"jwks": "https://id.example.org/keys", "jwt_audience": "chat"}
    assert "has no effect without secret" in refused(host="192.0.2.1", **jwks)
    assert load().weak_secrets == ["accepted_secrets"]
    assert "aaaa" not in repr(load())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"otlp_endpoint": "localhost:4318"}, "otlp_endpoint must be an address such as http://localhost:4318"),
        ({"otlp_endpoint": "http://user:pw@localhost:4318"}, "otlp_endpoint must be an address"),
        ({"otlp_endpoint": "http://localhost:4318/v1/traces?key=1"}, "without /v1/traces"),
        ({"otlp_headers": ["Authorization"]}, "one of them is not (not shown here)"),
        ({"otlp_headers": ["Author ization=Bearer 1"]}, "one of them is not (not shown here)"),
        ({"otlp_headers": ["x-key=1\r\nx-other: 2"]}, "the value of x-key in otlp_headers"),
        ({"otlp_headers": ["x-key=ключ"]}, "the value of x-key in otlp_headers"),
        ({"otlp_endpoint": "", "otlp_headers": ["x-key=1"]}, "no effect without otlp_endpoint"),
        ({"otlp_endpoint": "", "trace_content": True}, "no effect without otlp_endpoint"),
        ({"trace_ratio": 1.5}, "trace_ratio must be a number"),
    ],
)
def test_a_collector_of_traces_has_an_address_and_headers(wrong: dict[str, Any], words: str) -> None:
    """Each fault is a sentence that names the setting, and no secret."""
    good: dict[str, Any] = {"otlp_endpoint": "http://localhost:4318", "otlp_headers": ["x-key=a b", "y-key="]}
    assert load(**good).otlp_headers == ["x-key=a b", "y-key="]
    told = refused(**({"otlp_endpoint": "http://localhost:4318"} | wrong))
    assert words in told
    assert "Bearer" not in told
    assert "ключ" not in told


def test_headers_of_a_collector_can_be_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One a line, as they are a secret."""
    path = private(folder / "otlp", "Authorization=Bearer 1f=\nx-team=blue\n")
    monkeypatch.setenv("UNDERSTUDY_OTLP_HEADERS_FILE", str(path))
    settings = load(otlp_endpoint="http://localhost:4318")
    assert settings.otlp_headers == ["Authorization=Bearer 1f=", "x-team=blue"]
    assert "1f" not in repr(settings)


def test_a_reply_has_at_most_half_of_the_window() -> None:
    assert Settings().output_tokens == 8_192
    assert Settings(model_window_tokens=4_096).output_tokens == 2_048
    assert Settings(model_window_tokens=4_096, model_max_output=500).output_tokens == 500
