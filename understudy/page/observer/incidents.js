/** Recent incidents, the latest first: the actor, the type of error, and its id in the log. */

import { el, setText } from "../elements/dom.js";
import { DECISIONS, nameOf } from "./labels.js";

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
