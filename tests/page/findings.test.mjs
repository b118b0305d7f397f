import assert from "node:assert/strict";
import { test } from "node:test";

import { emptyConversation, reduce } from "../../understudy/page/client/threads/conversation.js";
import { directionOf, explained, nameOf, rowsOfResult, rowsOfSummary, sentences, suspicious } from "../../understudy/page/client/threads/findings.js";
import { pieces, redactionPattern, titleOf } from "../../understudy/page/answer/redactions.js";

const row = (kind, action = "remove", count = 1) => ({ category: kind.split(".")[0], kind, action, count });
const said = (direction, ...rows) => sentences(rows, direction).map(({ text }) => text);

test("findings become rows by kind and action; what is only counted is among them", () => {
  const rows = rowsOfSummary({
    counts: { secret: 5, pii: 2 }, kinds: { "secret.jwt": 5, "pii.email": 2 }, omitted: 3,
    findings: [
      { kind: "secret.jwt", start: 0, end: 9, action: "remove" }, { kind: "secret.jwt", start: 10, end: 19, action: "block" },
      { kind: "pii.email", start: 20, end: 25, action: "mask" },
    ],
  });
  assert.deepEqual(rows, [row("secret.jwt", "remove", 4), row("secret.jwt", "block", 1), row("pii.email", "mask", 2)]);
});

test("a server that gives less is understood as far as it goes", () => {
  assert.deepEqual(rowsOfSummary({ counts: { secret: 2 } }), [row("secret", "remove", 2)]);
  assert.deepEqual(rowsOfSummary({ counts: { secret: 1 }, findings: [{ kind: "secret.jwt", start: 0, end: 3 }] }), [row("secret.jwt")]);
  assert.deepEqual(rowsOfSummary({}), []);
  assert.deepEqual(rowsOfSummary({ counts: null, kinds: null, findings: [null, 3, { kind: 4 }, { kind: "pii.email", action: "sing" }] }), [row("pii.email")]);
  assert.deepEqual(rowsOfResult([{ kind: "pii.email", action: "mask", count: 2 }, { kind: 1, count: 1 }, { kind: "x", count: 0 }, null]), [row("pii.email", "mask", 2)]);
  assert.deepEqual(rowsOfResult(undefined), []);
});

test("directions are those of the protocol, also in older logs", () => {
  assert.deepEqual(["inbound", "tool", "outbound", "input", "output", undefined, "constructor"].map(directionOf),
    ["inbound", "tool", "outbound", "inbound", "outbound", "outbound", "outbound"]);
});

test("what was done is said in one sentence each", () => {
  assert.deepEqual(said("inbound", row("secret.jwt", "remove", 2), row("pii.email", "tokenise")),
    ["Taken out of your message: 2 secrets.", "Replaced by placeholders for the agent: 1 piece of personal data.", "If a secret was in use, replace it."]);
  assert.deepEqual(said("tool", row("secret.jwt"), row("pii.email", "mask", 2)),
    ["Taken out of this result: 1 secret and 2 pieces of personal data."]);
  assert.deepEqual(said("outbound", row("secret.jwt"), row("markup.image"), row("invisible.tag", "remove", 3)),
    ["Taken out of this answer: 1 secret, 1 piece of unsafe markup, and 3 hidden characters."]);
  assert.deepEqual(said("outbound", row("secret.jwt", "block")), ["Held back, because of 1 secret in this answer."]);
  assert.deepEqual(said("inbound", row("pii.email", "flag")), ["Noticed in your message and left as it is: 1 piece of personal data."]);
  assert.deepEqual(said("inbound", row("pii.unread", "flag")), ["A part of your message could not be checked."]);
  assert.deepEqual(said("inbound", row("novel.thing_x", "remove", 2)), ["Taken out of your message: 2 novel."]);
  assert.deepEqual(said("inbound"), []);
});

test("a result with instructions in it is a warning, and one in which they were taken out is not", () => {
  assert.deepEqual(sentences([row("injection.override", "flag")], "tool"),
    [{ text: "This result contains text that looks like instructions; it was treated as data.", warns: true }]);
  assert.ok(suspicious([row("secret.jwt"), row("injection.override", "flag")]));
  assert.ok(!suspicious([row("injection.override", "remove"), row("injection.unread", "flag"), row("pii.email", "flag")]));
});

test("kinds have names, and say what they are", () => {
  assert.deepEqual(["secret.github.fine_grained", "pii.iban", "secret.aws.access_key", "terminal.csi", "secret", "pii.unread", "odd_one", "pii.us_ssn", "pii.no_fodselsnummer", "pii.id_number"].map(nameOf),
    ["GitHub fine grained", "IBAN", "AWS access key", "CSI (control sequence)", "Secret", "Not checked for pieces of personal data", "Odd one", "US SSN", "NO fodselsnummer", "ID number"]);
  assert.equal(explained(row("secret.constructor", "mask")).name, "Constructor");
  const { name, count, done, meaning, kind } = explained(row("invisible.tag", "remove", 3));
  assert.deepEqual([name, count, done, kind], ["Tag (hidden character)", 3, "taken out", "invisible.tag"]);
  assert.match(meaning, /are invisible/);
  assert.match(explained(row("pii.unread", "flag")).meaning, /did not work/);
});

const marked = (text, ...rows) => pieces(text, redactionPattern(rows)).filter(({ spot }) => spot).map((piece) => piece.text);

test("spots are those of what was found, and nothing else in brackets", () => {
  assert.deepEqual(marked("use [redacted], [email] and [step-1]"), ["[redacted]"]);
  assert.deepEqual(marked("write to [email-1] or [email-12], not [step-1]", row("pii.email", "tokenise")), ["[email-1]", "[email-12]"]);
  assert.deepEqual(marked("[email] [email-] [email-1234567890] [Email]", row("pii.email", "remove")), ["[email]"]);
  assert.deepEqual(marked("[email]", row("pii.email", "flag")), []);
  assert.deepEqual(marked("[a.b] [(x]", row("pii.(x", "remove")), []);
});

test("covered text is a spot when something was covered", () => {
  assert.deepEqual(marked("card •••• •••• •••• 1234 and •••@•••••••.••• but • a point", row("pii.card", "mask")), ["•••• •••• •••• 1234", "•••@•••••••.•••"]);
  assert.deepEqual(marked("••••"), []);
  assert.equal(marked("•".repeat(100_000) + "x", row("pii.card", "mask"))[0].length, 100_000);
});

test("pieces are the text", () => {
  const spots = redactionPattern([row("pii.email", "remove")]);
  for (const text of ["", "[email]", "a [email][email] b", "no spot"]) assert.equal(pieces(text, spots).map((piece) => piece.text).join(""), text);
  assert.equal(new Set(["[email]", "[email-1]", "•••"].map(titleOf)).size, 3);
});

const at = (seq, type, data) => ({ type, seq, thread_id: "t", run_id: "r", data });
const RUN = [
  at(1, "message_accepted", { message_id: "m", run_id: "r", content: "hi" }),
  at(2, "tool_executing", { call_id: "c", tool_name: "fetch_page", parameters: {} }),
];
const play = (...events) => [...RUN, ...events].reduce(reduce, emptyConversation("t")).turns[0].steps;
const SUMMARY = { direction: "tool", call_id: "c", counts: { injection: 1 }, kinds: { "injection.override": 1 }, threshold: 1, findings: [{ kind: "injection.override", start: 0, end: 4, action: "flag" }] };

test("what was found in a result stands at its call, whichever event tells of it first", () => {
  const found = [{ category: "injection", kind: "injection.override", action: "flag", count: 1 }];
  const done = at(3, "tool_completed", { call_id: "c", status: "ok", result: 1, findings: found });
  const plain = at(3, "tool_completed", { call_id: "c", status: "ok", result: 1 });
  for (const steps of [play(done), play(plain, at(4, "sanitization_summary", SUMMARY)), play(at(3, "sanitization_summary", SUMMARY), at(4, "tool_completed", plain.data)), play(done, at(4, "sanitization_summary", SUMMARY))]) {
    assert.deepEqual(steps.map((step) => [step.kind, step.status, step.found]), [["tool", "ok", found]]);
  }
});

test("what was found in a result whose call is not known is a step of its own", () => {
  assert.deepEqual(play(at(3, "sanitization_summary", { ...SUMMARY, call_id: "other" })).map((step) => [step.kind, step.direction]), [["tool", undefined], ["sanitized", "tool"]]);
});
