import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { MESSAGES as ACCOUNTS } from "../../understudy/page/extensions/accounts/messages/sign_in.js";
import { chosenLanguage, dateTime, enumerated, hasMessage, language, LANGUAGES, learn, listed, number, parts, t, useLanguage } from "../../understudy/page/client/messages.js";

const PAGE = new URL("../../understudy/page/", import.meta.url);
const sources = readdirSync(PAGE, { recursive: true }).filter((name) => !/^(?:bundle|lib)\b/.test(name) && name.endsWith(".js")); // those are made, not written
const OF_EXTENSION = /^extensions\/\w+\/messages\//;
const learnt = await Promise.all(sources.filter((name) => OF_EXTENSION.test(name)).map(async (name) => (await import(new URL(name, PAGE))).MESSAGES));
const catalogues = Object.fromEntries(await Promise.all(
  Object.entries(LANGUAGES).map(async ([tag, { load }]) => [tag, Object.assign({}, (await load()).messages, ...learnt.map((texts) => texts[tag]))])));
const { en } = catalogues;
const modules = sources.filter((name) => !/^(admin|observer|client\/messages)\//.test(name) && !OF_EXTENSION.test(name))
  .map((name) => ({ name, text: readFileSync(new URL(name, PAGE), "utf8") }));
const placeholders = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
const inLanguage = async (tag, work) => {
  await useLanguage({ language: tag });
  try {
    await work();
  } finally {
    await useLanguage({ language: "en" });
  }
};

for (const [tag, messages] of Object.entries(catalogues)) {
  test(`${tag}: all keys, in the order of English`, () => {
    assert.deepEqual(Object.keys(messages), Object.keys(en));
  });

  test(`${tag}: each message has its values, and a text for each plural of the language`, () => {
    const categories = new Intl.PluralRules(tag).resolvedOptions().pluralCategories.toSorted();
    for (const [key, message] of Object.entries(messages)) {
      const source = en[key];
      const wanted = placeholders(source.other ?? source);
      assert.equal(typeof message, typeof source, `${tag} ${key}: a plural in one language is one in all`);
      if (typeof message === "object") assert.deepEqual(Object.keys(message).toSorted(), categories, `${tag} ${key}`);
      for (const [category, text] of Object.entries(typeof message === "string" ? { other: message } : message)) {
        assert.ok(text.trim() !== "", `${tag} ${key}`);
        const found = placeholders(text);
        const spoken = category === "other" || found.includes("count") ? wanted : wanted.filter((name) => name !== "count"); // "a chat" for one
        assert.deepEqual(found, spoken, `${tag} ${key} ${category}`);
      }
    }
  });
}

test("each message that a module names exists, and each that exists is named", () => {
  const dynamic = new Set();
  for (const { name, text } of modules) {
    for (const [, key] of text.matchAll(/\b(?:t|parts)\("([^"]+)"/g)) assert.ok(Object.hasOwn(en, key), `${name}: ${key}`);
    for (const [, prefix] of text.matchAll(/`(\w+\.[\w.]*)\$\{/g)) dynamic.add(prefix);
  }
  const all = modules.map(({ text }) => text).join("\n");
  const unused = Object.keys(en).filter((key) => !all.includes(`"${key}"`) && ![...dynamic].some((prefix) => key.startsWith(prefix)));
  assert.deepEqual(unused, []);
});

test("no message is asked for before the language is known", () => {
  for (const { name, text } of modules) {
    assert.doesNotMatch(text, /^(?:export )?const \w+ = (?:(?!=>).)*\b(?:t|parts)\(/m, `${name}: a constant of the module has the English text for good`);
  }
});

test("the language is the stored one, else the first the user reads, else English", () => {
  assert.deepEqual(chosenLanguage("ar", ["de-AT"]), { language: "ar", locale: "ar" });
  assert.deepEqual(chosenLanguage(null, ["fr-FR", "de-AT", "en"]), { language: "de", locale: "de-AT" });
  assert.deepEqual(chosenLanguage("xx", ["fr"]), { language: "en", locale: "en" });
  assert.deepEqual(chosenLanguage("constructor", ["EN-gb", null]), { language: "en", locale: "en-GB" });
});

test("another language is spoken from when it is used on, with its numbers, dates and lists", async () => {
  assert.equal(t("action.send"), "Send");
  await inLanguage("de", () => {
    assert.deepEqual(language(), { language: "de", locale: "de", dir: "ltr" });
    assert.equal(t("action.send"), "Senden");
    assert.equal(t("chat.back_to", { title: 12_300 }), "Zurück zu 12.300");
    assert.equal(number(0.5, { style: "percent" }), "50\u00a0%");
    assert.equal(dateTime(Date.UTC(2026, 2, 1, 12), { month: "long", timeZone: "UTC" }), "März");
    assert.equal(listed(["a", "b", "c"]), "a, b und c");
  });
  await inLanguage("ar", () => assert.equal(language().dir, "rtl"));
  assert.equal(t("action.send"), "Send");
});

test("a value that runs against the language is kept apart, so that it reorders nothing around it", async () => {
  const [arabic, both] = ["سؤال", "Guide سؤال"];
  assert.equal(t("chat.back_to", { title: "Guide" }), "Back to Guide");
  assert.equal(t("chat.back_to", { title: arabic }), `Back to \u2068${arabic}\u2069`);
  await inLanguage("ar", () => {
    assert.deepEqual(parts("chat.back_to", { title: arabic }).at(-1), arabic);
    assert.deepEqual(parts("chat.back_to", { title: both }).at(-1), `\u2068${both}\u2069`);
    assert.deepEqual(parts("chat.back_to", { title: 12 }).at(-1), "١٢");
    assert.equal(enumerated(["a", arabic]), `\u2068a\u2069، ${arabic}`);
  });
});

test("values stand where the message wants them, elements among them; what is unknown is said by its key", () => {
  const link = { element: true };
  assert.deepEqual(parts("chat.back_to", { title: link }), ["Back to ", link]);
  assert.equal(t("chat.back_to", { title: "{title} <b>" }), "Back to {title} <b>");
  assert.equal(t("no.such_key"), "no.such_key");
  assert.deepEqual([hasMessage("action.send"), hasMessage("toString")], [true, false]);
});

test("texts of a part are there once they are learnt, in each language", async () => {
  assert.equal(t("accounts.password"), "accounts.password");
  for (const [tag, text] of [["de", "Passwort"], ["en", "Password"]]) {
    await inLanguage(tag, () => {
      learn(ACCOUNTS);
      assert.equal(t("accounts.password"), text);
      assert.equal(t("accounts.wait", { count: 2 }), ACCOUNTS[tag]["accounts.wait"].other.replace("{count}", "2"));
      assert.notEqual(t("action.send"), "action.send");
    });
  }
});
