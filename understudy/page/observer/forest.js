/**
 * The part of the tree that the page knows: nodes by path, which are open, and which rows that makes. Pure.
 *
 * A node is what the server gives, with `children` as paths and `since` (ms, when this incarnation began).
 */

import { above } from "./labels.js";

export const FEW = 50; // children that are shown at first
const STEP = 150;
export const MOST = 500; // what one answer holds; beyond it, the filter finds them

export class Forest {
  constructor() {
    this.nodes = new Map();
    this.open = new Set();
    this.limits = new Map(); // path -> how many children to show
    this.root = null; // the path where the rows begin
  }

  limit(path) {
    return this.limits.get(path) ?? FEW;
  }

  /** Shows more children of a crowded node. */
  widen(path) {
    this.limits.set(path, Math.min(this.limit(path) + STEP, MOST));
  }

  /**
   * Takes in what the server gave: an actor with its children, whose own children were not read. `whole`: with
   * all below it that is to be shown, and nothing else is.
   */
  take(tree, now, { whole = false } = {}) {
    if (whole) this.nodes.clear();
    this.root ??= tree.path;
    this.#put(tree, now, { read: true, whole });
    return this;
  }

  #put(tree, now, { read, whole }) {
    const known = this.nodes.get(tree.path)?.children ?? [];
    const children = read || tree.child_count === 0 ? tree.children.map((child) => child.path) : known;
    const kept = new Set(children);
    known.filter((path) => !kept.has(path)).forEach((path) => this.#drop(path));
    this.nodes.set(tree.path, { ...tree, children, since: now - tree.age_s * 1000 });
    tree.children.forEach((child) => this.#put(child, now, { read: whole, whole }));
  }

  /**
   * One change of the stream. Returns what is to be done: `restarted` when it has had another incarnation,
   * and `ask`, a path whose children must be read again.
   */
  change({ path, gone = false, ...news }, now) {
    const known = this.nodes.get(path);
    if (gone) {
      if (known) this.#forget(path);
      return {};
    }
    if (!known) { // folded away, or new: what changed about one that has restarts is most likely that it has one more
      return { restarted: news.restarts > 0, ask: this.open.has(above(path)) && this.nodes.has(above(path)) ? above(path) : undefined };
    }
    const restarted = news.restarts > known.restarts;
    const anew = news.incarnation !== known.incarnation || news.state !== known.state;
    this.nodes.set(path, { ...known, ...news, since: anew ? now : known.since });
    return restarted ? { restarted, ask: this.open.has(path) ? path : undefined } : {};
  }

  /** Takes the number of children, and of resting actors below, by path. */
  counted({ child_counts: counts = {}, resting_below: resting = {} }) {
    for (const [path, count] of Object.entries(counts)) this.#set(path, { child_count: count });
    for (const [path, count] of Object.entries(resting)) this.#set(path, { resting_below: count });
  }

  #set(path, values) {
    const known = this.nodes.get(path);
    if (known) this.nodes.set(path, { ...known, ...values });
  }

  #forget(path) {
    const parent = this.nodes.get(above(path));
    if (parent) {
      const children = parent.children.filter((child) => child !== path);
      this.nodes.set(parent.path, { ...parent, children, child_count: parent.child_count - 1 });
    }
    this.#drop(path);
  }

  #drop(path) {
    this.nodes.get(path)?.children.forEach((child) => this.#drop(child));
    this.nodes.delete(path);
    this.open.delete(path);
    this.limits.delete(path);
  }

  /** The rows from top to bottom: {node, level, at, of}, or {fold: path, hidden, level} for hidden children. */
  rows({ all = false } = {}) {
    const rows = [];
    const add = (path, level, at, of) => {
      const node = this.nodes.get(path);
      if (!node) return;
      const open = all ? node.children.length > 0 : this.open.has(path);
      rows.push({ node, level, at, of, open });
      if (!open) return;
      node.children.forEach((child, index) => add(child, level + 1, index + 1, node.child_count));
      const hidden = node.child_count - node.children.length;
      if (hidden > 0 && !all) rows.push({ fold: path, hidden, level: level + 1, full: this.limit(path) >= MOST });
    };
    if (this.root !== null) add(this.root, 1, 1, 1);
    return rows;
  }

  /** The nearest path, this one or above it, that is among the rows. */
  visible(path, rows) {
    const shown = new Set(rows.filter((row) => row.node).map((row) => row.node.path));
    let at = path;
    while (at && !shown.has(at)) at = above(at);
    return at || this.root;
  }
}
