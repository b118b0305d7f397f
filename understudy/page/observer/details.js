/** The picked actor in full, and where the server allows it, the way to kill it. */

import { confirmed } from "../elements/dialog.js";
import { el } from "../elements/dom.js";
import { queued, STATES } from "./labels.js";

export class Details {
  /** `onKill(path, part)` kills it. */
  constructor(onKill) {
    this.onKill = onKill;
    this.mayKill = false;
    this.shown = "";
    this.facts = el("dl.facts");
    this.kill = el("button.secondary.kill", { type: "button", hidden: true, onclick: () => this.#kill() }, "Kill it");
    this.element = el("section.panel.panel-details", { "aria-label": "Picked actor" }, el("h2", {}, "Picked actor"), this.facts, this.kill);
  }

  show(node) {
    this.node = node;
    this.element.hidden = !node;
    if (!node) return;
    const lanes = Object.entries(node.depth ?? {}).map(([lane, depth]) => `${lane} ${depth}`).join(", ");
    const facts = [
      ["Path", node.path], ["Kind", node.type], ["State", STATES[node.state] ?? node.state], ["Incarnation", node.incarnation],
      ["Children", node.child_count.toLocaleString("en")], ["Mailbox", queued(node) > 0 ? lanes : "empty"],
    ];
    const text = JSON.stringify(facts);
    if (text !== this.shown) this.facts.replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
    this.shown = text;
    this.kill.hidden = !this.mayKill || depth(node.path) < 2;
  }

  async #kill() {
    const { path, type } = this.node;
    const part = depth(path) === 2;
    const text = part
      ? `${path} is a whole part of the server. Everything below it dies with it; then it is started again.`
      : `${path} and all below it die now. Its supervisor decides what is started again.`;
    if (await confirmed({ title: `Kill this ${type}?`, text, agree: "Kill it" })) this.onKill(path, part);
  }
}

function depth(path) {
  return path.split("/").length - 1;
}
