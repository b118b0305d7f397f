/**
 * Long tables and lists, in pieces of bounded size, as code comes in pieces. Pure.
 *
 * Each piece is a table or list of its own, of the class `continued` if it goes on with the one before. Where it is divided
 * depends only on the rows or items before that place, so the pieces are the same while the answer is written.
 */

import { PIECE_CHARACTERS, PIECE_LINES } from "./code.js";

const HEAD_CHARACTERS = 2_000; // of a table's head with which it is divided: each piece repeats it
const LISTS = new Set(["bullet_list_open", "ordered_list_open"]);

/**
 * Where further pieces of a block begin: [{line, begun}], none unless it is a long table or list. `block` are the tokens of a
 * block on the highest level, `lines` those of the text that they are of. `begun` is {head, number}, what was shown of it
 * before, if anything: then a table's first two lines are its head again.
 */
export function seams(block, lines, md, begun = null) {
  const [opening] = block;
  const isList = LISTS.has(opening.type);
  if ((!isList && opening.type !== "table_open") || !opening.map) return [];
  const [first, end] = opening.map;
  if (end - first < PIECE_LINES && charactersOf(lines, first, end) < PIECE_CHARACTERS) return [];
  const [unit, level] = isList ? ["list_item_open", 1] : ["tr_open", 2];
  let starts = block.filter((token) => token.type === unit && token.level === level && token.map).map(({ map }) => map[0]);
  let head = "";
  let number = begun?.number ?? 0;
  if (!isList) {
    head = lines.slice(first, first + 2).map((line) => `${line}\n`).join("");
    starts = starts.slice(1);
    if (head.length > HEAD_CHARACTERS) return [];
  } else if (opening.type === "ordered_list_open" && begun === null) number = Number(opening.attrGet("start") ?? 1);
  const found = [];
  let [count, size] = [0, 0];
  for (let index = 0; index + 2 < starts.length; index += 1) {
    const next = starts[index + 1];
    count += 1;
    size += charactersOf(lines, starts[index], next);
    if (count < PIECE_LINES && size < PIECE_CHARACTERS) continue;
    if (isList && firstType(lines.slice(next, next + 2), md) !== opening.type) break; // alone these lines are a table's head
    number += count;
    found.push({ line: next, begun: { head, number: opening.type === "ordered_list_open" ? number : 0 } });
    [count, size] = [0, 0];
  }
  return found;
}

const charactersOf = (lines, first, end) => lines.slice(first, end).reduce((sum, line) => sum + line.length + 1, 0);

function firstType(lines, md) {
  const tokens = [];
  md.block.parse(lines.join("\n"), md, {}, tokens);
  return tokens[0]?.type;
}

/** A core rule after the one for blocks: divides the long tables and lists of a text. `env.begun`: see `seams`. */
export function divide(state) {
  let begun = state.env.begun ?? null;
  delete state.env.begun;
  const lines = state.src.split("\n");
  if (begun === null && lines.length < PIECE_LINES && state.src.length < PIECE_CHARACTERS) return;
  const tokens = [];
  for (const block of blocksOf(state.tokens)) {
    const found = seams(block, lines, state.md, begun);
    const parts = found.length === 0 ? [block] : (block[0].type === "table_open" ? tables : lists)(block, found, lines, state);
    for (const [index, part] of parts.entries()) {
      tokens.push(...marked(part, begun));
      begun = found[index]?.begun ?? null;
    }
    begun = null;
  }
  state.tokens = tokens;
}

/** The pieces of a table: its own rows below copies of its head, as parsing them again takes half as long. */
function tables(block, found) {
  const rows = block.findIndex(({ type }) => type === "tbody_open") + 1;
  const starts = new Set(found.map(({ line }) => line));
  const cuts = block.flatMap((token, index) => (token.type === "tr_open" && token.map && starts.has(token.map[0]) ? [index] : []));
  const places = [rows, ...cuts, block.length - 2];
  return places.slice(1).map((end, index) => [...block.slice(0, rows).map(copy), ...block.slice(places[index], end), ...block.slice(-2)]);
}

function copy(token) {
  return Object.assign(Object.create(Object.getPrototypeOf(token)), token, { attrs: token.attrs && token.attrs.map((each) => [...each]) });
}

/** The pieces of a list, each parsed by itself: whether its items stand close together is its own. */
function lists(block, found, lines, state) {
  const [first, end] = block[0].map;
  const places = [first, ...found.map(({ line }) => line), end];
  return places.slice(1).map((stop, index) => {
    const piece = [];
    state.md.block.parse(lines.slice(places[index], stop).map((each) => `${each}\n`).join(""), state.md, state.env, piece);
    return piece;
  });
}

/** The tokens of each block on the highest level. */
export function blocksOf(tokens) {
  const blocks = [];
  let block = [];
  for (const token of tokens) {
    block.push(token);
    if (token.level === 0 && token.nesting <= 0) {
      blocks.push(block);
      block = [];
    }
  }
  return blocks;
}

function marked(block, begun) {
  if (begun !== null && (LISTS.has(block[0].type) || block[0].type === "table_open")) {
    block[0].attrJoin("class", "continued");
    if (block[0].type === "ordered_list_open") block[0].attrSet("start", String(begun.number));
  }
  return block;
}
