/** The catalogue of agents, and the switch in the composer that chooses one. */

import { el, freshId, setText } from "../elements/dom.js";
import { fromJson } from "../client/ids.js";
import { language, t } from "../client/messages.js";
import { icon } from "../elements/icons.js";
import { humanised } from "../client/format.js";

export const AGAIN_MS = 5_000; // agents that could not be read are read again so much later
const KEY = "understudy.agents";
const GUIDE = Object.freeze({
  name: "guide", agent_type: "guide", pillar: null, tools: [], starters: [],
  get title() { return t("agents.guide"); },
  get description() { return t("agents.guide_about"); },
});

/** The agents and the model, from GET /api/agents; the last response is cached for use offline. */
export class Agents {
  constructor(storage) {
    this.storage = storage;
    this.list = [GUIDE];
    this.model = null;
    this.settings = {}; // of the server, those that clients go by
    this.allowAlways = false; // whether the server remembers which tools are allowed always
    this.take(fromJson(storage.getItem(KEY)));
  }

  /** Takes an answer of GET /api/agents. */
  take(answer) {
    if (!Array.isArray(answer?.agents)) return;
    this.list = answer.agents.length > 0 ? answer.agents.map(translated) : [GUIDE]; // for a user who may use none: the server says so
    this.model = answer.model ?? null;
    this.settings = answer.settings ?? {};
    this.allowAlways = answer.allow_always === true;
    this.storage.setItem(KEY, JSON.stringify(answer));
  }

  find(agentType, pillar) {
    return this.list.find((agent) => agent.agent_type === agentType && (agent.pillar ?? null) === (pillar ?? null)) ?? null;
  }

  /** The agent called `name` on the wire of a handoff: its name or its pillar. */
  named(name) {
    return this.list.find((agent) => agent.name === name) ?? this.list.find((agent) => agent.pillar === name) ?? null;
  }

  title(agentType, pillar) {
    return this.find(agentType, pillar)?.title || humanised(pillar ?? agentType ?? "agent");
  }

  /** The agent that answers by default. */
  get first() {
    return this.list[0];
  }
}

/** An agent with its texts in the language of the page, as far as it has them. */
function translated(agent) {
  return { ...agent, ...agent.translations?.[language().language] };
}

/** A monogram in the agent's own hue. */
export function monogram(title, agentType, pillar) {
  const hue = [...`${agentType}/${pillar ?? ""}`].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 6, 0);
  return el(`span.monogram.hue-${agentType === "guide" ? "guide" : hue}`, { "aria-hidden": "true" }, title.charAt(0).toUpperCase());
}

/** The switch: a button that names the agent, and a menu of all of them. */
export class AgentPicker {
  constructor(agents, onPick) {
    this.agents = agents;
    this.onPick = onPick;
    this.picked = agents.first;
    this.label = el("span", { dir: "auto" });
    const id = freshId("agents");
    this.menu = el("div.menu.agent-menu", { id, role: "listbox", "aria-label": t("agents.which"), hidden: true, tabIndex: -1 });
    this.button = el("button.quiet.agent-button", {
      type: "button", "aria-haspopup": "listbox", "aria-expanded": "false", "aria-controls": id, onclick: () => this.toggle(),
    }, this.label, icon("chevron"));
    this.element = el("div.agent-picker", {}, this.button, this.menu);
    this.menu.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget)) this.close(false);
    });
    this.show();
  }

  /** Chooses without telling anyone. */
  show(agent = this.picked) {
    this.picked = agent;
    const title = agent.title || humanised(agent.name);
    setText(this.label, t("agents.answers", { title }));
    this.button.setAttribute("aria-label", t("agents.change", { title }));
    if (!this.menu.hidden && this.listed !== this.agents.list) this.#renew();
  }

  toggle() {
    if (this.menu.hidden) this.open();
    else this.close();
  }

  open() {
    this.menu.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.#list();
  }

  close(refocus = true) {
    if (this.menu.hidden) return;
    this.menu.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (refocus) this.button.focus();
  }

  choose(agent) {
    this.show(agent);
    this.close(false);
    this.onPick(agent);
  }

  #list(at = -1) {
    this.listed = this.agents.list;
    this.menu.replaceChildren(...this.listed.map((agent) => this.#option(agent)));
    this.#focus(this.menu.children[at] ?? this.menu.querySelector('[aria-selected="true"]') ?? this.menu.firstElementChild);
  }

  /** The agents were read while the menu is open: it lists them, and the same one has the focus. */
  #renew() {
    const { name } = this.listed[[...this.menu.children].indexOf(document.activeElement)] ?? {};
    this.menu.focus(); // an option that goes with the focus would close the menu
    this.#list(this.agents.list.findIndex((agent) => agent.name === name));
  }

  #option(agent) {
    const selected = agent.name === this.picked.name;
    return el("button.menu-item.agent-option", {
      type: "button", role: "option", "aria-selected": String(selected), tabIndex: -1,
      onclick: () => this.choose(agent),
    }, monogram(agent.title, agent.agent_type, agent.pillar), el("span.agent-text", {},
      el("span.agent-title", {}, agent.title || humanised(agent.name)), el("span.agent-about", {}, agent.description ?? "")),
    selected && icon("check"));
  }

  /** One option at a time is a tab stop. */
  #focus(option) {
    this.menu.querySelectorAll('[tabindex="0"]').forEach((other) => { other.tabIndex = -1; });
    if (!option) return;
    option.tabIndex = 0;
    option.focus();
  }

  #key(event) {
    const options = [...this.menu.children];
    const at = options.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: options.length - 1 }[event.key];
    if (to !== undefined) this.#focus(options[(to + options.length) % options.length]);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
