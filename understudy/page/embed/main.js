/** The chat in a frame of another site: wires the parts of the page that one conversation with one agent needs. */

import { isWeb, ROOT } from "../client/address.js";
import { Client } from "../client.js";
import { moment } from "../client/format.js";
import { agentKey } from "../client/threads/known_threads.js";
import { LANGUAGES, language, t, useLanguage } from "../client/messages.js";
import { randomId } from "../client/ids.js";
import { extend as extendByFiles } from "../extensions/files/main.js";
import { extend as extendByWidgets } from "../extensions/widgets/main.js";
import { browserStorage, safeStorage } from "../client/safe_storage.js";
import { KEY } from "../client/connection/session.js";
import { runningTurn, steerableTurn } from "../client/threads/turns.js";
import { AGAIN_MS, Agents } from "../composer/agents.js";
import { Alerts, Status } from "../frame/status.js";
import { ChatPage } from "../frame/chat_page.js";
import { Clock } from "../run/clock.js";
import { Composer } from "../composer/composer.js";
import { Toasts } from "../elements/dialog.js";
import { composing, el, setText } from "../elements/dom.js";
import { Drafts } from "../composer/drafts.js";
import { emptyChat } from "../thread/around_turns.js";
import { addStyle } from "../elements/extension_parts.js";
import { Files } from "../files/files.js";
import { icon } from "../elements/icons.js";
import { Panel } from "../files/panel.js";
import { Previews } from "../files/previews.js";
import { Transcript } from "../thread/transcript.js";
import { siteAround, siteStorage, siteWindow } from "./site.js";

const SETTLING_MS = 4_000; // a thread that says nothing for so long is shown as empty

class EmbeddedChat extends ChatPage {
  constructor(site) {
    super();
    this.site = site;
    [this.agentType, this.pillar = null] = String(site.options.agent).split("/");
    const storage = safeStorage(siteStorage(browserStorage(), site.origin));
    forgetOthers(storage, site.token);
    this.current = null; // the id of the thread, from the first welcome on: until then it is not known whose chat to show
    this.client = new Client({
      token: site.token, storage, window: siteWindow(window, site.origin), paged: true,
      fetch: (address, asked) => fetch(address, { ...asked, credentials: "omit" }), // a cookie of the chat page's is not for here
      readsAbove: (threadId) => threadId === this.current && this.transcript.readsAbove,
    });
    this.api = this.client.api;
    this.agents = new Agents(storage);
    this.clock = new Clock();
    this.#build(storage);
    this.#listen();
  }

  start() {
    this.transcript.open(this.state, { loading: true });
    this.client.start();
    this.site.ready();
  }

  get agent() {
    return this.agents.find(this.agentType, this.pillar)
      ?? { name: this.agentType, agent_type: this.agentType, pillar: this.pillar, tools: [], starters: [], title: this.agents.title(this.agentType, this.pillar), description: "" };
  }

  #build(storage) {
    const { api, agents, clock, client } = this;
    this.panel = new Panel();
    const previews = new Previews(api);
    const files = new Files(api, storage, previews, this.panel);
    this.alerts = new Alerts();
    this.toasts = new Toasts();
    this.status = new Status(() => client.start());
    this.composer = new Composer({
      api, files, agents, drafts: new Drafts(storage), storage, banner: this.status.banner,
      onAgent: () => {}, ...this.composerActions,
    });
    this.composer.picker.element.hidden = true; // the site has chosen
    this.composer.voice.allowed = () => false; // a frame of another site has no microphone
    this.transcript = new Transcript({
      agents, clock, files, panel: this.panel, previews, api, answerParts: () => this.parts.answers, ...this.transcriptActions,
    }, () => emptyChat(this.agent, (starter) => this.begin(starter, this.agent)));
    this.title = el("h1.thread-title", { dir: "auto" }, this.agent.title);
    const button = (name, picture, onclick) => el("button.quiet.icon-button", { type: "button", "aria-label": name, title: name, onclick }, icon(picture));
    const stage = el("main.stage.is-embedded", {},
      el("header.topbar", {}, this.title, this.status.element, button(t("chat.new"), "plus", () => this.create()), button(t("action.close"), "close", () => this.site.close())),
      this.alerts.element, this.transcript.element, this.composer.element);
    this.parts = { answers: [], shown: [], intakes: [] }; // of extensions
    for (const extend of [extendByWidgets, extendByFiles]) extend({ chat: this, ask: (...asked) => api.ask(...asked), add: (kind, one) => this.parts[kind].push(one), addStyle });
    this.composer.takeFilesBy(this.parts.intakes[0]);
    document.body.replaceChildren(stage, this.panel.element, this.toasts.element);
    this.composer.box.inert = true; // until it is known whose chat this is
    this.composer.show(null);
  }

  #listen() {
    const { client } = this;
    client.on("state", (state) => {
      this.status.show({ ...state, signIn: false }); // its site signs users in
      if (state.phase !== "refused") return;
      this.transcript.settled();
      this.site.problem(`the server refused the chat: ${state.reason}`);
    });
    client.on("welcome", (event) => {
      this.clock.align(moment(event.timestamp));
      this.readAgents();
      if (this.current === null) this.#begin();
    });
    client.on("change", ({ threadId, state }) => threadId === this.current && this.#show(state));
    client.on("alert", ({ message }) => this.alerts.show(message));
    client.on("typing", (event) => event.thread_id === this.current && this.composer.showTyping());
    client.on("user", () => { this.current = null; }); // the welcome that follows opens a chat of theirs
    client.on("over", () => location.reload());
    client.on("events", (events) => this.site.took(events));
    client.on("notice", ({ code, message, error_id: errorId, thread_id: threadId }) => {
      if (code !== "not_found") this.toasts.show(message, errorId);
      else if (threadId === this.current && client.isGone(threadId)) this.#openNew();
    });
    this.site.onShown = () => {
      client.probe();
      this.composer.focus();
    };
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || composing(event) || document.querySelector("dialog:modal")) return;
      event.preventDefault();
      if (runningTurn(this.state)) this.stop(); // as on the chat page
      else this.site.close();
    });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && client.ack(this.current, this.state.seq));
  }

  /** Opens the thread that this user had with the agent last. */
  async #begin() {
    const { threadId } = await this.client.switchAgent(this.agentType, this.pillar);
    if (this.current === null) this.#open(threadId);
  }

  #open(threadId) {
    const held = document.activeElement === document.body || this.composer.element.contains(document.activeElement);
    this.current = threadId;
    const { state } = this;
    this.composer.box.inert = false;
    this.composer.open(threadId, this.agent);
    this.transcript.open(state, { loading: state.seq === 0 && !this.client.freshThreads.has(threadId) });
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.transcript.settled(), SETTLING_MS);
    this.composer.show(runningTurn(state), steerableTurn(state));
    if (held && document.hasFocus()) this.composer.focus();
  }

  /** Begins a new conversation; the one before stays at the server. */
  create() {
    if (this.current !== null && this.state.turns.length > 0) this.#openNew();
    this.composer.focus();
  }

  #openNew() {
    const threadId = randomId();
    this.client.open(threadId, { fresh: true });
    this.client.currentThreads.enter(agentKey(this.agentType, this.pillar), threadId);
    this.#open(threadId);
  }

  #show(state) {
    this.transcript.show(state);
    this.transcript.settled();
    this.composer.show(runningTurn(state), steerableTurn(state));
    this.composer.follow(this.agent);
  }

  /** `mode` says when a run at work reads it; "after" is a message of its own. */
  say({ content, files = [], references = files.map((file) => file.id), mode = "after", settings, context }) {
    const turn = mode === "after" ? null : steerableTurn(this.state);
    const steered = turn && this.client.connection.online && this.client.steer(turn.runId, content, mode);
    if (!steered) this.client.say({ content, thread_id: this.current, message_id: randomId(), agent_type: this.agentType, pillar: this.pillar, references, ...(settings && { settings, context }) });
    this.transcript.follow();
  }

  shown(state) {
    if (document.visibilityState !== "visible" || this.current === null) return;
    this.client.ack(state.threadId, state.seq);
    for (const work of this.parts.shown) work(state);
  }

  /** Opens the sign-in at an MCP server beside this page, which a frame must not leave. */
  async signInAt(name, questionId = "") {
    const url = await this.api.signIn(name, { returnTo: `${ROOT}/`, questionId });
    if (isWeb(url)) window.open(url, "_blank", "noopener");
  }

  async readAgents() {
    try {
      this.agents.take(await this.api.agents());
      if (!this.agents.find(this.agentType, this.pillar)) this.site.problem(`this user has no agent "${this.site.options.agent}"`);
    } catch {
      setTimeout(() => this.client.connection.online && this.readAgents(), AGAIN_MS);
    }
    this.agents.read = true;
    setText(this.title, this.agent.title);
    this.composer.follow(this.agent);
    this.transcript.refresh();
  }
}

/** The words of a user whom the site had signed in are not for an anonymous one, nor the other way round. */
function forgetOthers(storage, token) {
  let held = null;
  try {
    held = JSON.parse(storage.getItem(KEY) ?? "null");
  } catch {
    // not ours: it goes with the rest
  }
  if (held !== null && held.anonymous === true !== (token === null)) storage.clear("understudy.", []);
}

async function speak(tag) {
  try {
    if (Object.hasOwn(LANGUAGES, tag)) await useLanguage({ language: tag });
  } catch {
    // its texts cannot be loaded: the chat works in English meanwhile
  }
  const { language: lang, dir } = language();
  Object.assign(document.documentElement, { lang, dir });
}

const site = await siteAround(window);
const { theme } = site.options;
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
await speak(site.options.language);
new EmbeddedChat(site).start();
