"""Passwords and keys in their usual places: files, code, commands, headers, sentences."""
# ruff: noqa: RUF001 - signs as people write them

import string

import pytest

from sanitization import Action, Category, Sanitizer, StreamSanitizer
from sanitization.policy import everywhere
from tests.rigs.sanitizer_samples import body, join

POLICY = everywhere({Category.SECRET: Action.REMOVE})
PASSWORD = join("Tr0ub", "4dor&", "Wq7z")
PLAIN = join("Xk7", "Qm2", "Vt9", "Lp4")
KEY = body(32)
HEX = body(40, "0123456789abcdef")
LETTERS = string.ascii_letters
UUID = "-".join([body(8, "0123456789abcdef"), *[body(4, "0123456789abcdef", seed) for seed in (1, 2, 3)], HEX[:12]])

WORDS = [
    *["the wifi pass", "pw", "passcode", "passphrase", "Passwort", "Kennwort", "mot de passe", "Mot de passe", "clave"],
    *["contraseña", "senha", "wachtwoord", "lösenord", "adgangskode", "salasana", "hasło", "heslo", "пароль"],
    *["パスワード", "비밀번호", "şifre", "كلمة المرور", "mật khẩu"],
]
# The secret stands where {} does, and only it goes.
PASSWORDS = [
    "password = {}",
    "password={}",
    "PASSWORD={}\nUSER=svc",
    "export DB_PASSWORD={}",
    "export DB_PASSWORD='{}'",
    'set PGPASSWORD="{}"',
    "$env:SMTP_PASSWORD = '{}'",
    "ENV ADMIN_PASSWORD {}",
    "docker run -e MYSQL_ROOT_PASSWORD={} mysql",
    "MYSQL_PWD={} mysqldump app",
    "db_pass: {}",
    "dbPassword: '{}',",
    "  password: {}\n  host: db",
    'password: "{}"  # rotate',
    "- name: DB_PASSWORD\n  value: {}",
    '{{"name": "DB_PASSWORD", "value": "{}"}}',
    '{{"password": "{}"}}',
    '{{"user":"svc","password":"{}","port":5432}}',
    '{{\\"password\\": \\"{}\\"}}',
    'password = "{}"',
    "password = '{}'",
    "password: str = '{}'",
    'String password = "{}";',
    "const password = `{}`;",
    'let dbPassword = "{}";',
    '$password = "{}";',
    ':password => "{}"',
    "'password' => '{}',",
    "define('DB_PASSWORD', '{}');",
    'password := "{}"',
    'os.environ["DB_PASSWORD"] = "{}"',
    'os.getenv("DB_PASSWORD", "{}")',
    'process.env.DB_PASSWORD || "{}"',
    'config["password"] = "{}"',
    'setPassword("{}")',
    'client.login(user="svc", password="{}")',
    "psql 'host=db user=svc password={} dbname=app'",
    "Server=db;User Id=svc;Password={};Encrypt=true",
    "Server=db;Uid=svc;Pwd={};",
    "jdbc:postgresql://db/app?user=svc&password={}",
    "https://example.org/login?user=svc&password={}&next=/",
    "<password>{}</password>",
    "<app:password type='x'>{}</app:password>",
    "<password>\n  {}\n</password>",
    "<password><![CDATA[{}]]></password>",
    '<property name="password"><value>{}</value></property>',
    "<key>Password</key>\n<string>{}</string>",
    '<add key="Password" value="{}" />',
    '<property name="password" value="{}"/>',
    '<input type="password" name="password" value="{}">',
    "spring.datasource.password={}",
    "ansible_ssh_pass={}",
    "ansible_become_password: {}",
    "machine example.org login svc password {}",
    "login: svc\npassword: {}",
    "password:\n{}",
    "password: !!str |\n\n    {}\n",
    "password = <<EOT\n{}\nEOT",
    "$password = <<<'EOT'\n{}\nEOT;",
    "password = <<~EOS\n  {}\nEOS",
    "read -r PASSWORD <<EOF\n{}\nEOF",
    "password = (  # of the test\n    '{}'\n)",
    "password =\n    '{}'",
    "password = \\\n    {}",
    "$password = @'\n{}\n'@",
    "const password = `\n{}\n`;",
    'let password = r#"{}"#;',
    'var password = @"{}";',
    "export PASSWORD=$'{}'",
    "**Password:** {}",
    "**Password**: {}",
    "| password | {} |",
    "`password`: `{}`",
    "Password (temporary): {}",
    "user: svc, password: {}",
    "user svc / password {}",
    "my password is {}",
    "My password is {}.",
    "the password is now {}",
    "the password for the server is {}",
    "The password has been changed to {}.",
    "password was reset to {}, thanks",
    "I set the password to {}",
    "use the password {} to log in",
    "log in as svc with password {}",
    *[f"{name}: {{}}" for name in WORDS],
    "mdp : {}",
    "das Passwort ist {}",
    "Mein Passwort lautet {}.",
    "le mot de passe est {}",
    "mi contraseña es {}",
    "a senha é {}",
    "password: {} (non condividerla)",
    "la password è {}",
    "het wachtwoord is {}",
    "Пароль — {}",
    "密码：{}",
    "密码是 {}",
    "--password {}",
    "--password={}",
    "--password '{}'",
    "wget --user=svc --password={} https://example.org",
    "sshpass -p '{}' ssh svc@example.org",
    "mysql -u root -p{} app",
    "redis-cli -h cache -a {}",
    "docker login -u svc -p {} registry.example.org",
    "postgres://svc:{}@db.example.org:5432/app",
    "postgresql+asyncpg://svc:{}@db/app",
    "mysql://svc:{}@db/app",
    "mongodb+srv://svc:{}@cluster0.example.net/x?retryWrites=true",
    "redis://:{}@cache:6379/0",
    "rediss://default:{}@cache:6380",
    "amqp://svc:{}@mq.example.org/vhost",
    "ftp://svc:{}@ftp.example.org/pub",
    "smtp://svc:{}@mail.example.org:587",
    "https://svc:{}@git.example.org/a/b.git",
    "socks5://svc:{}@proxy:1080",
    "git clone https://svc:{}@example.org/repo",
    'DATABASE_URL="postgres://svc:{}@db/app"',
    "db.example.org:5432:app:svc:{}",
]
# Here a word could stand as well: only what can be nothing but a password is taken for one.
SPOKEN = [
    "user svc / password {}",
    "use the password {} to log in",
    "log in as svc with password {}",
    "| password | {} |",
    "Пароль — {}",
]
_PEOPLE = slice(PASSWORDS.index("**Password:** {}"), PASSWORDS.index("--password {}"))
OF_PEOPLE = {"password:\n{}", *PASSWORDS[_PEOPLE]}
"""Places where people write, and any word may stand."""
TABLES = [
    "user,password\nsvc,{}\n",
    '"user";"password";"host"\n"svc";"{}";"db"\n',
    "Access key ID,Secret access key\nx,{}\n",
    "name\tapi_key\nsvc\t{}\n",
    "| user | password |\n|------|---|\n| svc | `{}` |\n\nDone.",
    " user | password\n------+----------\n svc  | {}\n(1 row)\n",
    "+------+----------+\n| user | password |\n+------+----------+\n| svc  | {} |\n+------+----------+\n",
    "USER    PASSWORD    HOST\nsvc     {}    db\n",
    '{{"csv": "user,password\\nsvc,{}\\n"}}',
    '[["user", "password"], ["svc", "{}"]]',
    '{{"columns": ["user", "password"],\n "rows": [["svc", "{}"]]}}',
    '[\n  [\n    "user",\n    "password"\n  ],\n  [\n    "svc",\n    "{}"\n  ]\n]',
    "<table><tr><th>user</th><th>password</th></tr><tr><td>svc</td><td>{}</td></tr></table> Done.",
    '<tr class="a">\n  <td>user</td>\n  <td>password</td>\n</tr>\n<tr>\n  <td>svc</td>\n  <td><b>{}</b></td>\n</tr>',
    " password\n----------\n {}\n(1 row)\n",
    "> | user | password |\n> |---|---|\n> | svc | {} |\n",
    "│ user │ password │\n├──────┼──────────┤\n│ svc  │ {} │\n",
    "     1\tuser,password\n     2\tsvc,{}\n",
    "user,password\nann,password\nsvc,{}\n",
    "utilisateur;mot de passe\nsvc;{}\n",
    "usuario,contraseña\nsvc,{}\n",
]
COOKIES = [
    "Set-Cookie: session={}; Path=/; HttpOnly",
    "Cookie: theme=dark; sid={}; lang=de",
    '{{"Cookie": "JSESSIONID={}"}}',
    "PHPSESSID={}",
    "curl -b 'ASP.NET_SessionId={}' https://example.org",
    "__Secure-next-auth.session-token={}",
]
# Of keys and tokens the value goes too, when it looks made by a machine.
NAMES = [
    *[
        "api_key",
        "API_KEY",
        "OPENAI_API_KEY",
        "CLOUDFLARE_API_TOKEN",
        "datadog.key",
        "SECRET_KEY_BASE",
        "client_secret",
    ],
    *["access_token", "auth_token", "JWT_SECRET", "SESSION_SECRET", "webhook_secret", "aws_secret_access_key"],
    *["AWS_SECRET_ACCESS_KEY", "aws_session_token", "SecretAccessKey", "SharedAccessKey", "private_key", "credentials"],
    *["GITHUB_TOKEN", "license_key", "consumer_secret", "signing_key", "X-Api-Key", "PRIVATE-TOKEN"],
]
KEYS = [
    *[f"{name}{sign}{{}}" for name in NAMES for sign in ("=", ": ")],
    "api_key = {}",
    "apiKey: '{}',",
    'API-Key: "{}"',
    'export STRIPE_SECRET="{}"',
    '"algolia_secret": "{}"',
    "secret_key = '{}'",
    "clientSecret: '{}'",
    '"client_secret": "{}"',
    '"accessToken": "{}"',
    '"refresh_token":"{}"',
    'authToken = "{}"',
    "x-api-key: {}",
    'curl -H "X-Api-Key: {}" https://example.org',
    "curl -H 'Authorization: Bearer {}' https://example.org",
    "Authorization: Bearer {}",
    "authorization: bearer {}",
    "Authorization: Token {}",
    "Authorization: ApiKey {}",
    "Proxy-Authorization: Basic {}",
    '"Authorization": "Bearer {}"',
    "headers = {{'Authorization': 'Bearer {}'}}",
    'headers["Authorization"] = "Bearer {}"',
    "sent with Bearer {} in it",
    "https://example.org/x?access_token={}&y=1",
    "https://example.org/x?api_key={}",
    "https://example.org/x?y=1&token={}#top",
    "https://example.org/x?sig={}",
    "//npm.example.org/:_authToken={}",
    "signing_key:\n  {}",
    "app.secret_key = (\n    '{}'\n)",
    "client_secret = <<EOT\n{}\nEOT",
    'encryption_key = "{}"',
    '"SecretAccessKey": "{}"',
    "AccountKey={};EndpointSuffix=core.windows.net",
    '<string name="api_key">{}</string>',
    "<apiKey>{}</apiKey>",
    '{{"name": "API_TOKEN", "value": "{}"}}',
    "the api key is {}",
    "my API key: {}",
    "--token {}",
    "--api-key={}",
    "token = '{}'",
    'const token = "{}";',
    "token => '{}'",
    'env("API_TOKEN", "{}")',
]
SECRET_VALUES = [KEY, HEX, body(24), body(64), body(44) + "=", body(20, string.ascii_lowercase + string.digits)]


def sanitized(text: str) -> str:
    return Sanitizer(POLICY).sanitize(text).text


@pytest.mark.parametrize("frame", PASSWORDS)
@pytest.mark.parametrize("password", [PASSWORD, PLAIN, "s3cr" + "3t-pa55", "Sommer" + "2024!", "aB3$" + "xY9#q"])
def test_passwords_in_their_places(frame: str, password: str) -> None:
    """Exactly the value is removed; the field's name stays."""
    if "://" in frame and set(password) & set("#&"):
        password = PLAIN
    if "&password" in frame or (frame in SPOKEN and not any(map(str.isupper, password))):
        password = PLAIN
    assert sanitized(frame.format(password)) == frame.format("[redacted]")


@pytest.mark.parametrize("frame", [each for each in PASSWORDS if each not in OF_PEOPLE])
@pytest.mark.parametrize(
    "password", ["sword" + "fish", body(12, string.ascii_lowercase), body(14, string.ascii_letters)]
)
def test_a_password_of_letters_where_a_machine_reads_it(frame: str, password: str) -> None:
    assert sanitized(frame.format(password)) == frame.format("[redacted]")


@pytest.mark.parametrize("frame", TABLES)
@pytest.mark.parametrize("secret", [PASSWORD, KEY])
def test_cells_below_the_name_of_a_secret(frame: str, secret: str) -> None:
    text = frame.format(secret)
    assert sanitized(text) == frame.format("[redacted]")
    for cut in range(1, len(text)):
        stream = StreamSanitizer(POLICY)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == sanitized(text), cut


@pytest.mark.parametrize(
    "scheme", ["postgres://svc:{}@db.example.org:5432/app", "redis://:{}@cache", "https://a:{}@mq/x"]
)
@pytest.mark.parametrize("signs", ["/", "@", "@z/", "/x@", "//", "?", "#/", "?/", "/#", "@z?x="])
def test_passwords_in_addresses_that_are_not_escaped(scheme: str, signs: str) -> None:
    """The last `@` before a host ends the password, as it does for drivers."""
    assert sanitized(scheme.format(PLAIN + signs + body(8))) == scheme.format("[redacted]")


@pytest.mark.parametrize("mark", ["&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#34;", "&#x27;"])
@pytest.mark.parametrize(
    "frame", ["<password>{}</password>", '<user password="{}"/>', '<add x="Server=y;Password={};Encrypt=yes"/>']
)
def test_passwords_with_escaped_marks(frame: str, mark: str) -> None:
    assert sanitized(frame.format(PLAIN + mark + body(8))) == frame.format("[redacted]")


@pytest.mark.parametrize("frame", KEYS)
def test_keys_in_their_places(frame: str) -> None:
    """A random value beside a telling name is a secret, whoever issued it."""
    for value in SECRET_VALUES:
        assert sanitized(frame.format(value)) == frame.format("[redacted]"), value


@pytest.mark.parametrize("frame", COOKIES)
def test_cookies_of_sessions(frame: str) -> None:
    assert sanitized(frame.format(KEY)) == frame.format("[redacted]")


@pytest.mark.parametrize("frame", [*PASSWORDS, *KEYS, *COOKIES])
def test_no_cut_changes_what_comes_out(frame: str) -> None:
    """In two pieces, cut anywhere, and letter by letter: the same as the whole, and never eight characters."""
    value = PLAIN + body(12) if frame in PASSWORDS else KEY
    text = f"so: {frame.format(value)} and on"
    whole = sanitized(text)
    for cut in range(1, len(text)):
        stream = StreamSanitizer(POLICY)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == whole
    stream, out = StreamSanitizer(POLICY), ""
    for letter in text:
        out += stream.feed(letter)
        assert not any(value[at : at + 8] in out for at in range(len(value) - 7))
    assert out + stream.flush() == whole


@pytest.mark.parametrize(
    "frame", ["password:\n  {}", "password:**\n{}", "the password is: {}", "password is “{}”", "password {}"]
)
@pytest.mark.parametrize("value", ["kR7q" + "Wm3x", "kRqWmx" + "zzYpT4", "7kRqWmx" + "zzYpT"])
def test_one_digit_anywhere_is_enough_to_look_at_a_value(frame: str, value: str) -> None:
    """In a sentence, a word with one digit is judged as a value."""
    assert sanitized(frame.format(value)) == frame.format("[redacted]")
    letters = value.translate(dict.fromkeys(map(ord, "0123456789"), "n"))
    assert sanitized(frame.format(letters)) == frame.format(letters)


def test_a_sign_is_enough_too() -> None:
    """A sign at the beginning or the end of a word makes it a candidate."""
    for value in ("*kRq" + "Wmx!z", "kRqWm" + "xz#t"):
        assert sanitized(f"the password is {value}") == "the password is [redacted]"


def test_a_value_that_is_another_assignment_is_judged_by_itself() -> None:
    """With a sign or with a word such as `is`."""
    for name, sign in (("密码", "是"), ("密碼", "是"), ("パスワード", "は")):
        assert sanitized(name + sign + name + sign + PLAIN) == name + sign + name + sign + "[redacted]"
