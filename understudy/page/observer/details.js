/** The column beside the tree: all details of the picked actor, and recent incidents. */

import { confirmed } from "../elements/dialog.js";
import { el, setText } from "../elements/dom.js";
import { queued, STATES, DECISIONS, nameOf } from "./labels.js";

// The picked actor in full, and where the server allows it, the way to kill it.

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

// Recent incidents, the latest first: the actor, the type of error, and its id in the log.

const SHOWN = 100;

export class Incidents {
  /** `onPick(path)` shows the actor in the tree. */
  constructor(onPick) {
    this.onPick = onPick;
    this.last = 0;
    this.list = el("ol.incidents");
    this.none = el("p.hint", {}, "None since the server started.");
    this.news = el("p.offscreen", { role: "status" });
    this.element = el("section.panel.panel-incidents", { "aria-label": "Incidents" }, el("h2", {}, "Incidents"), this.none, this.list, this.news);
  }

  /** All that are known, after the stream began anew. */
  reset(incidents) {
    this.list.replaceChildren();
    this.last = 0;
    this.none.hidden = false;
    incidents.forEach((incident) => this.#put(incident));
  }

  /** One that has just happened. */
  add(incident) {
    if (incident.number <= this.last) return;
    this.#put(incident).classList.add("is-new");
    setText(this.news, `${incident.path}: ${incident.error}, ${DECISIONS[incident.decision] ?? incident.decision}`);
  }

  #put({ number, at, path, error, message_type: message, decision, error_id: errorId }) {
    const time = new Date(at * 1000);
    const item = el("li.incident", {},
      el("div.incident-head", {},
        el("button.link.incident-name", { type: "button", title: path, onclick: () => this.onPick(path) }, nameOf(path)),
        el("time", { dateTime: time.toISOString(), title: time.toLocaleString() }, time.toLocaleTimeString([], { hour12: false }))),
      el("p", {}, el("strong", {}, error), message && ` at ${message}`, `, ${DECISIONS[decision] ?? decision}`),
      el("p.incident-id", {}, el("span", {}, place(path)), el("code", { title: "error_id in the log" }, errorId)));
    this.list.prepend(item);
    this.last = number;
    this.none.hidden = true;
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild.remove();
    return item;
  }
}

function place(path) {
  return path.split("/").slice(2, -1).map((name) => nameOf(`/${name}`)).join(" / ");
}
