import assert from "node:assert/strict";
import { test } from "node:test";

import { fitting } from "../../understudy/page/commands/palette.js";

const entry = (title, more = {}) => ({ id: title, title, ...more });
const ACTIONS = [entry("New chat"), entry("Keyboard shortcuts", { words: "keys help" })];
const CHATS = [entry("Sales by month"), entry("Résumé of Ada"), entry("About the new sales")];
const titles = (query, ...groups) => fitting(query, groups).map(({ title }) => title);

test("without a query all stand as they are given, each once", () => {
  assert.deepEqual(titles(" ", ACTIONS, CHATS, [CHATS[0]]), ["New chat", "Keyboard shortcuts", "Sales by month", "Résumé of Ada", "About the new sales"]);
});

test("the beginning of a title comes before that of a word, and that before any other place", () => {
  assert.deepEqual(titles("sales", ACTIONS, CHATS), ["Sales by month", "About the new sales"]);
  assert.deepEqual(titles("new", ACTIONS, CHATS), ["New chat", "About the new sales"]);
  assert.deepEqual(titles("ort", ACTIONS, CHATS), ["Keyboard shortcuts"]);
});

test("case and accents make no difference, and every word must be there", () => {
  assert.deepEqual(titles("RESUME ada", CHATS), ["Résumé of Ada"]);
  assert.deepEqual(titles("resume sales", CHATS), []);
  assert.deepEqual(titles("help", ACTIONS), ["Keyboard shortcuts"]);
});

test("what the server has found in a message stays, below what its title fits", () => {
  assert.deepEqual(titles("ada", [entry("Countess", { found: true })], CHATS), ["Résumé of Ada", "Countess"]);
});

test("no more than can be looked through", () => {
  assert.equal(fitting("", [Array.from({ length: 500 }, (_, n) => entry(`Chat ${n}`))]).length, 40);
});
