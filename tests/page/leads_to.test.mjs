/** Links whose words name another host than the one that they lead to. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { leadsTo } from "../../understudy/page/answer/markdown/leads_to.js";

const PAGE = "http://127.0.0.1:8002/#chat";
const EVIL = "https://evil.example/login";

test("words that name another host, wherever and however, do not hide where a link leads", () => {
  const words = [
    "https://bank.example", "see https://bank.example/login", "bank.example", "log in at bank.example now", "www.bank.example", "BANK.EXAMPLE",
    "(https://bank.example)", "“bank.example”", "at:bank.example", "https://bank.example:443/", "https:// bank.example", "https : / / bank.example",
    "bank .example", "bank . example", "ba\u200bnk.example", "bank\u00ad.example", "bank\u2060.exa\ufe0fmple", "ｂａｎｋ．ｅｘａｍｐｌｅ", "bank。example", "bank․example",
    "https:⁄⁄bank.example", "https:\\\\bank.example", "bücher.example", "аpple.example", "例え.jp", "https://evil.example@bank.example", "ann@bank.example",
    "10.0.0.1", "http://localhost", "evil.example or bank.example", "\u202emoc.elpmaxe.knab//:sptth", "evil.example.bank.example", "bank.md", "ftp://bank.example",
    "bank.example\nnow", "**bank.example**", "evil.example.",
  ];
  assert.deepEqual(words.filter((one) => leadsTo(one, EVIL, PAGE) === null), ["evil.example."]);
  for (const [name, address] of [
    ["https://xn--pple-43d.example", "https://bank.example/"], ["bank.co.uk", "https://evil.co.uk/"], ["co.uk", "https://evil.co.uk/"], ["bank.example", "mailto:a@evil.example"],
    ["ann@bank.example", "mailto:ann@evil.example"], ["ann@bank.example", "mailto:ann@bank.example,eve@evil.example"], ["https://bank.example", "/api/files/f"],
    ["аpple.example", "https://аpple.example/"], ["bank.example", "https://bank.example.evil.example/"], ["bank.example", "https://evil.example/bank.example"],
  ]) assert.equal(leadsTo(name, address, PAGE), address.startsWith("mailto") ? address.slice(7) : new URL(address, PAGE).host, name);
});

test("a link whose words name its own host, or none, says nothing more", () => {
  const links = [
    ["the method", EVIL], ["https://evil.example/login", EVIL], ["evil.example", EVIL], ["www.evil.example", EVIL], ["Evil.Example/Login", EVIL], ["https://evil.example:443", EVIL],
    ["example.org", "https://docs.example.org/a"], ["docs.example.org", "https://example.org/"], ["münchen.example", "https://münchen.example/"],
    ["main.py", "https://code.example/x/main.py"], ["README.md", "https://code.example/blob/main/README.md"], ["package.json", "https://code.example/"], ["Node.js 20.1", "https://nodejs.example/"],
    ["e.g. this, i.e. that", EVIL], ["version 1.2.3", EVIL], ["It ended. Then it began.", EVIL], ["a.b", EVIL], ["3.14", EVIL], ["@ann", EVIL], ["sales.zip", "/api/files/f"],
    ["https://web.example/2020/https://bank.example/", "https://web.example/2020/https://bank.example/"], ["ann@bank.example", "mailto:ann@bank.example"], ["write to us", "mailto:a@b.example"],
    ["std::vector", EVIL], ["and/or", EVIL], ["", EVIL], ["…", EVIL], ["10:30", EVIL],
  ];
  assert.deepEqual(links.filter(([words, address]) => leadsTo(words, address, PAGE) !== null), []);
});

test("words of any length are read in a moment", () => {
  const began = performance.now();
  for (const piece of ["a", " ", ".", "a.", "@", ":", "a:/", "https://", "\u200b", " .", "a@", "://", "/", "例."]) leadsTo(piece.repeat(30_000), EVIL, PAGE);
  assert.ok(performance.now() - began < 3_000);
});
