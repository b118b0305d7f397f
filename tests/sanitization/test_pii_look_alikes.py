"""Look-alikes of personal data."""

import pytest

from sanitization import Action, Category, Sanitizer
from sanitization.policy import everywhere

SANITIZER = Sanitizer(everywhere({Category.PII: Action.REMOVE}))

LOOK_ALIKES = """
@alice mentioned you in #general
ssh user@server
user@host in a shell prompt
alice@laptop:~/src$ ls
git clone git@github.com:owner/name.git
git@gitlab.example.org:group/project.git is the remote
https://user@example.org/path
https://user:pass@example.org/path
ssh://git@github.com/owner/name
ssh -i key deploy@web1.example.org uptime
scp build.tar.gz deploy@web1.example.org:/srv/
rsync -av dist/ deploy@example.org:/srv/www/
npm install @types/node@20.1.0
npm i lodash@4.17.21 react@18.2.0
import x from "@scope/pkg"
decorator @app.route("/x")
@media (min-width: 600px) { a { b: c } }
icon@2x.png and icon@3x.jpg
a@b
3@4 each
meet @ 5pm
x = a @ b.T
user@.com
@example.com
me at example dot com
name@host
foo@bar@baz
twitter: @someone_1990
1716899123
1716899123456
1716899123456789
2024-05-01
2024-05-01T10:15:30Z
2024-05-01 10:15:30.123456+02:00
2024-05-01 10:15:30,123 INFO started in 1234567 ns
01.05.2024 10:15
05/01/2024
12:30:45
Mon, 01 May 2024 10:15:30 GMT
20240501
20240501101530
order number 4111526018159080
order #1234567890
Order no. 202-555-0173
order 123-4567890-1234567
invoice 2024-000123
invoice INV-20240501-0001
tracking number 9400 1000 0000 0000 0000 00
ticket 1234567
issue #123456789
ISBN 978-3-16-148410-0
ISBN 0-306-40615-2
ISSN 2049-3630
EAN 4006381333931
UPC 036000291452
DOI 10.1000/182
arXiv:2101.00001
RFC 2616 section 14.9.1
version 1.2.3.4
v10.0.19041.1
Chrome/120.0.6099.109 Safari/537.36
release 2024.05.01
build 20240501.1
Python 3.11.7
kernel 5.15.0-105-generic
section 4.3.2.1
upgrade to 10.2.3.4
999.999.999.999
256.1.1.1
1.2.3
1.2.3.4.5
0.0.0.0
255.255.255.0
OID 1.3.6.1.4.1.311
std::vector::iterator
std::cout << a::b;
Foo::Bar::new
x :: Int -> Int
a[::2] and a[1::2] and a[::-1]
use crate::a::b;
::before { content: "" }
key:value:pair
10:20:30:40
ff:ff
12:34
550e8400-e29b-41d4-a716-446655440000
commit 1234567
commit 9fceb02d0ae598e95dc970b74767f19372d61af8
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
d41d8cd98f00b204e9800998ecf8427e
#ff00aa and #123456
0x1234567890
0xdeadbeef
1,234,567,890
1 234 567 890
1.234.567,89
$1,234,567.89
$ 1234567
USD 123456789
3.14159265358979
6.02214076e23
-73.985428, 40.748817
40.7128° N, 74.0060° W
52.520008 13.404954
sum = 123456789012
id = 1234567
count: 1234567890
x = 12345678
port 8080
localhost:8080
1-2-3-4-5-6-7
10-15-20-25
1 2 3 4 5 6 7 8 9 10
1, 2, 3, 4, 5
12 34 56 78
123 456 789
100 200 300 400
2021 2022 2023 2024
1234 5678 9012
1234 5678 9012 3456
4111 1111 1111 1112
4111111111111112
4111-1111-1111-1113
DE89 3704 0044 0532 0130 01
GB82 WEST 1234 5698 7654 33
XX89370400440532013000
078-05-0000
000-12-3456
666-12-3456
123-00-4567
900-12-3456
12-34-567
1-800-FLOWERS
call 911
dial 112
room 404-B
flight LH1234
bus 123
Boeing 737-800
A4 paper, B5 paper
ISO 8601, ISO 27001:2013
IEEE 802.11ax
UTF-8, UTF-16, base64, sha256, md5
RTX 4090, i7-12700K
H2O and CO2
Q3 2024 results
page 123 of 456
chapter 12, verse 34
score 3-2, 21-15, 6-4
1990-2024
1914-1918
9/11
24/7
50/50
3/4 cup
100%
1e10
10^9
2^31-1 is 2147483647
max int 9223372036854775807
4294967296
65535
127 bytes at offset 123456
192.168 is a prefix
I was born to run
a born leader
She was born in 1990
happy birthday to you
the birth of a nation, 1990
Paris is the capital of France
What is a social security number?
How is an IBAN check digit computed?
Luhn algorithm example
my mail did not arrive
my phone is broken
call me later
the card is full of 12 pictures
passport control is at gate 12
my account has 12 posts
AB12CD
ABCD1234
ABC-123
XYZ-2024-05
model X-1000-2000
part no. 123-456-789
SKU 123-45-6789
serial 123-45-6789
batch 202-555-0173
error 0x80070005
E1234
T-1000
5 March 2024
March 5, 2024
in 2024 We saw
10 Great Drives
5 Ways to learn
20 Google Drive links
3 Fast Lanes
Spring 2024
during 2024
via Slack 12 people
Via 5 steps
12 rue
the 5 platz
5 people at 10 places
route 66
area 51
studio 54
line 42, column 17
lines 100-200
foo[1234567]
f(1234567, 7654321)
SELECT * FROM t WHERE id = 123456789
{"id": 123456789, "total": 1234567}
<a href="#12345678">
width="1234567"
rgb(123, 123, 123)
12.5 MB of 1024.0 MB
1080x1920
4096x2160@60
bc1 is a prefix
1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb
16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ2
bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5
QQ 12 34 56 C
AA 12 34 56 H
BG 12 34 56 A
44051401459
12345678A
529.982.247-26
12.345.678-6
756.9217.0769.86
3123 4567 8908
SWIFT is a language
+999 123 456 789 is no country
+44 1234567
+1 234 567
call me about order 1234567
my card paid for invoice 123456789012
DE89370400440532013000A
DE89370400440532013000_x
swift codes are fun
""".strip("\n").splitlines()


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_look_alikes_of_personal_data_are_unchanged(text: str) -> None:
    """Alone and in a sentence, nothing is found."""
    for whole in (text, f"I read: {text} and went on"):
        sanitized = SANITIZER.sanitize(whole)
        assert [(finding.kind, whole[finding.start : finding.end]) for finding in sanitized.findings] == []
        assert sanitized.text == whole
