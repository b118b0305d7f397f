import assert from "node:assert/strict";
import { test } from "node:test";

import { enteredFor, fieldsOf, namedField, readField, readForm } from "../../understudy/page/forms/fields.js";
import { emptyConversation, reduce } from "../../understudy/page/client/threads/conversation.js";

const SCHEMA = {
  type: "object",
  required: ["city", "count", "size", "lines"],
  properties: {
    city: { title: "City", type: "string", minLength: 2, maxLength: 5, description: "the town" },
    count: { type: "integer", minimum: 1, maximum: 6 },
    price: { anyOf: [{ type: "number" }, { type: "null" }], default: null },
    size: { enum: ["small", "large", 3] },
    express: { type: "boolean", default: true },
    due_date: { type: "string", format: "date" },
    lines: { type: "array", items: { type: "string" } },
    notes: { type: "string", format: "multiline" },
    more: { type: "object" },
  },
};
const GOOD = { city: "Ulm", count: "3", price: "", size: "2", express: false, due_date: "", lines: "a\n\n b ", notes: "", more: "" };

test("a schema becomes fields with labels, kinds and defaults", () => {
  const fields = fieldsOf(SCHEMA, { city: "Bonn" });
  assert.deepEqual(fields.map(({ kind }) => kind), ["text", "number", "number", "choice", "flag", "date", "list", "lines", "json"]);
  assert.deepEqual(fields.map(({ label }) => label).slice(0, 6), ["City", "Count", "Price", "Size", "Express", "Due date"]);
  assert.deepEqual(fields.map((field) => enteredFor(field, field.initial)).slice(0, 5), ["Bonn", "", "", "", true]);
  assert.deepEqual(fieldsOf(SCHEMA, { city: "Bonn\nBeuel", express: false }).slice(0, 5).map(({ kind, initial }) => [kind, initial]), [["lines", "Bonn\nBeuel"], ["number", null], ["number", null], ["choice", null], ["flag", false]]);
  assert.deepEqual([fields[0].description, fields[0].required, fields[2].required, fields[2].nullable], ["the town", true, false, true]);
});

test("a secret is a field of its own kind, also where it may be left out, and is sent as it was entered", () => {
  const fields = fieldsOf({ required: ["pin"], properties: { pin: { type: "string", format: "password" }, code: { anyOf: [{ type: "string", format: "password" }, { type: "null" }] } } });
  assert.deepEqual(fields.map(({ kind }) => kind), ["secret", "secret"]);
  assert.deepEqual(readForm(fields, { pin: " 1 ", code: "" }), { answer: { pin: " 1 " } });
});

test("what was entered becomes an answer without the fields that are left out", () => {
  assert.deepEqual(readForm(fieldsOf(SCHEMA), GOOD), { answer: { city: "Ulm", count: 3, size: 3, express: false, lines: ["a", "b"] } });
});

test("what is wrong is said at its field", () => {
  const wrong = { ...GOOD, city: "U", count: "2.5", price: "x", size: "", lines: "", more: "{" };
  assert.deepEqual(readForm(fieldsOf(SCHEMA), wrong).errors, {
    city: "At least 2 characters.", count: "Enter a whole number.", price: "Enter a number.", size: "Choose one.", lines: "Fill this in.", more: "This is not JSON.",
  });
  const [, count] = fieldsOf(SCHEMA);
  assert.deepEqual(["0", "7", "6"].map((text) => readField(count, text)), [{ error: "At least 1." }, { error: "At most 6." }, { value: 6 }]);
  assert.deepEqual(readField({ ...count, nullable: true }, ""), { value: null });
});

test("several of a list's options, and an object's own fields", () => {
  const address = { type: "object", required: ["street"], properties: { street: { type: "string", minLength: 2 }, gift: { type: "boolean" }, number: { type: "integer" } } };
  const schema = { required: ["days", "to"], properties: { days: { type: "array", items: { enum: ["mon", "tue", 3] }, minItems: 1, maxItems: 2, default: ["tue"] }, to: address, back: { anyOf: [address, { type: "null" }] } } };
  const fields = fieldsOf(schema, { days: ["tue"], to: { street: "Elm", number: 4 }, back: null });
  assert.deepEqual(fields.map(({ kind }) => kind), ["several", "group", "group"]);
  assert.deepEqual(enteredFor(fields[0], fields[0].initial), [1]);
  assert.deepEqual(fields[1].fields.map(({ name, initial }) => [name, initial]), [["street", "Elm"], ["gift", null], ["number", 4]]);
  const blank = { street: "", gift: false, number: "" };
  const entered = { days: [0, 2], to: { street: "Elm", gift: true, number: "5" }, back: blank };
  assert.deepEqual(readForm(fields, entered), { answer: { days: ["mon", 3], to: { street: "Elm", gift: true, number: 5 } } });
  assert.deepEqual(readForm(fields, { ...entered, days: [], to: { ...blank, number: "x" } }).errors, { days: "Choose at least one.", to: { street: "Fill this in.", number: "Enter a number." } });
  assert.deepEqual(readForm(fields, { ...entered, days: [0, 1, 2] }).errors, { days: "Choose at most 2." });
  const deep = { type: "object", properties: { a: { type: "object", properties: { b: { type: "object", properties: { c: { type: "object", properties: { d: { type: "object", properties: { e: {} } } } } } } } } } };
  assert.equal(fieldsOf({ properties: { deep } })[0].fields[0].fields[0].fields[0].kind, "json");
});

test("a refusal names its field", () => {
  const fields = fieldsOf(SCHEMA);
  assert.equal(namedField(fields, "The field `lines[1]` is wrong: text is expected.").name, "lines");
  assert.equal(namedField(fields, "The field `other` is wrong."), null);
  assert.equal(namedField(fields, "No question of that name waits for your answer."), null);
});

const event = (seq, type, data) => ({ type, seq, run_id: "r", message_id: "m", timestamp: "2026-11-20T06:00:00Z", data });
const ASKED = { question_id: "r.c.1", call_id: "c", agent_id: "a", title: "City?", schema: SCHEMA, expires_at: 5, asked_by: "tool" };
const START = [
  event(1, "message_accepted", { message_id: "m", run_id: "r", content: "go" }), event(2, "agent_started", { agent_id: "a" }),
  event(3, "tool_executing", { call_id: "c", tool_name: "t", agent_id: "a" }), event(4, "question_asked", ASKED),
];
const questions = (...events) => events.reduce(reduce, emptyConversation("t")).turns[0].questions;

test("a question is open until it is answered, its call ends, or its run", () => {
  const [open] = questions(...START);
  assert.deepEqual([open.id, open.callId, open.state, open.title, open.expiresAt], ["r.c.1", "c", "open", "City?", 5000]);
  const [answered] = questions(...START, event(5, "question_answered", { question_id: "r.c.1", outcome: "answered", answer: { city: "Ulm" } }));
  assert.deepEqual([answered.state, answered.outcome, answered.answer], ["answered", "answered", { city: "Ulm" }]);
  assert.equal(questions(...START, event(5, "tool_completed", { call_id: "c", status: "failed" }))[0].state, "over");
  assert.equal(questions(...START, event(5, "error", { code: "run_interrupted", message: "Gone." }))[0].state, "over");
  assert.equal(questions(...START, event(5, "tool_completed", { call_id: "d", status: "ok" }))[0].state, "open");
});
