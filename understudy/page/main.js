/** The composition root of the page: wires all parts. */

import { decoded, isWeb, leaveAtEnd } from "./client/address.js";
import { Account } from "./account/account.js";
import { AGAIN_MS, Agents } from "./composer/agents.js";
import { Alerts, Status } from "./frame/status.js";
import { lastRun, visible } from "./client/threads/branches.js";
import { ChatPage } from "./frame/chat_page.js";
import { Client } from "./client.js";
import { Clock } from "./run/clock.js";
import { Composer } from "./composer/composer.js";
import { provisionalTitle, runningTurn, steerableTurn } from "./client/threads/turns.js";
import { Toasts } from "./elements/dialog.js";
import { Dialogs, ExtensionButtons, Places } from "./frame/dialogs.js";
import { arrange, el, setText } from "./elements/dom.js";
import { Drafts, LeftWork } from "./composer/drafts.js";
import { FirstVisit, KillGuide } from "./first_visit/first_visit.js";
import { emptyChat, missingChat } from "./thread/around_turns.js";
import { Files } from "./files/files.js";
import { goneThreads } from "./client/threads/known_threads.js";
import { icon } from "./elements/icons.js";
import { randomId } from "./client/ids.js";
import { LazyPart } from "./elements/lazy_part.js";
import { Keys } from "./commands/keys.js";
import { openAt, readOnAt } from "./thread/reveal.js";
import { painted, Updates } from "./frame/updates.js";
import { Panel } from "./files/panel.js";
import { Previews } from "./files/previews.js";
import { Sidebar } from "./sidebar/sidebar.js";
import { Transcript } from "./thread/transcript.js";
import { moment } from "./client/format.js";
import { t } from "./client/messages.js";
import { startLanguage } from "./settings/language.js";
import { renderer } from "./answer/renderer.js";
import { browserStorage, safeStorage } from "./client/safe_storage.js";

const LOADING_MS = 4000; // a thread that says nothing for so long is shown as empty
const LIST_EVENTS = new Set(["message_accepted", "final_response", "error"]);
const FLOWING = new Set(["partial_result"]); // many a second, for the transcript alone

class Page extends ChatPage {
  constructor() {
    super();
    this.current = null; // the id of the open thread
    this.client = new Client({ paged: true, readsAbove: (threadId) => threadId === this.current && this.transcript.readsAbove });
    this.api = this.client.api;
    const { storage } = this.client;
    this.agents = new Agents(storage);
    this.clock = new Clock();
    this.#build(storage);
    this.#listen();
  }

  #build(storage) {
    this.panel = new Panel();
    const previews = new Previews(this.api);
    const files = new Files(this.api, storage, previews, this.panel);
    this.alerts = new Alerts();
    this.toasts = new Toasts();
    new Updates(this.toasts).checkAtWelcome(this.client);
    this.status = new Status(() => this.client.start());
    this.sidebar = new Sidebar(this.api, {
      open: (...at) => openAt(this, ...at), create: () => this.create(), removed: (...which) => this.removed(...which), renamed: () => this.showTitle(), fault: (fault) => this.fault(fault),
      more: (thread) => this.added("chatActs", thread),
    }, (id) => this.mark(id), storage);
    this.extensions = new LazyPart(() => import("./extensions.js"), ({ Extensions }) => new Extensions(this), () => {});
    this.places = new Places();
    this.dialogs = new Dialogs(this, storage);
    this.buttons = new ExtensionButtons(storage, (id) => this.extensions.use((extensions) => extensions.show(id)));
    this.sidebar.add(this.buttons.element);
    this.account = new Account(this.api, { onSignOut: (how) => this.client.signOut(how), onKeys: () => this.keys.sheet(), more: (who) => this.added("accountActs", who) });
    this.sidebar.element.append(this.places.side, this.account.element);
    this.drafts = new Drafts(storage);
    this.composer = new Composer({
      api: this.api, files, agents: this.agents, drafts: this.drafts, storage, banner: this.status.banner,
      onAgent: (agent) => this.switched(agent), ...this.composerActions,
    });
    this.guide = new KillGuide();
    this.composer.element.prepend(this.guide.element);
    this.firstVisit = new FirstVisit(this);
    this.transcript = new Transcript({
      agents: this.agents, clock: this.clock, files, panel: this.panel, previews, api: this.api, answerParts: () => this.extensions.made?.all("answers") ?? [], ...this.transcriptActions,
    }, () => (this.missing ? missingChat(() => this.create()) : emptyChat(this.composer.picker.picked, (starter) => this.begin(starter, this.composer.picker.picked), this.firstVisit.offer())));
    this.title = el("h1.thread-title", { dir: "auto" }, t("chat.new"));
    this.back = el("button.link.back", { type: "button", hidden: true });
    this.drawer = el("button.quiet.icon-button.drawer-open-button", {
      type: "button", "aria-label": t("page.open_drawer"), "aria-controls": "sidebar", "aria-expanded": "false", onclick: () => this.sidebar.unfold(),
    }, icon("menu"), this.places.drawer);
    const begin = el("button.quiet.icon-button.new-chat-button", { type: "button", title: t("chat.new"), "aria-label": t("chat.new"), onclick: () => this.create() }, icon("plus"));
    this.sidebar.onToggle = (open) => {
      this.drawer.setAttribute("aria-expanded", String(open));
      if (!open && this.sidebar.element.contains(document.activeElement)) this.composer.focus();
    };
    const stage = el("main.stage", { id: "stage" },
      el("header.topbar", { id: "topbar" }, this.drawer, begin, this.places.top, this.title, this.back, this.buttons.top, this.status.element, this.dialogs.settingsButton),
      this.alerts.element, this.transcript.element, this.composer.element);
    arrange(document.body, [
      el("button.skip", { type: "button", onclick: () => this.composer.focus() }, t("page.skip")),
      el("div.app", { id: "app" }, this.sidebar.element, this.sidebar.scrim, stage, this.panel.element), this.toasts.element]);
    this.composer.showModel();
  }

  #listen() {
    this.client.on("state", (state) => {
      this.status.show(state);
      this.#showGuide();
      if (state.phase === "refused" && state.signIn) this.dialogs.askToSignIn();
    });
    this.client.on("welcome", (event) => {
      this.clock.align(moment(event.timestamp));
      this.readAgents();
      this.readUser();
      this.extensions.use((extensions) => extensions.refresh());
    });
    this.client.on("change", ({ threadId, state, events }) => this.changed(threadId, state, events));
    this.client.on("alert", ({ message, thread_id: threadId }) => this.alerts.show(message, threadId));
    this.client.on("typing", (event) => event.thread_id === this.current && this.composer.showTyping());
    this.client.on("user", () => [this.sidebar.forget(), this.open(randomId(), { fresh: true })]);
    this.left = new LeftWork(this);
    this.client.on("expiring", () => this.left.setAside());
    this.client.on("over", ({ url }) => leaveAtEnd(url)); // what the page itself still shows and knows goes with it
    this.client.on("events", (events) => this.sidebar.take(events));
    this.client.on("foreign", (event) => {
      this.sidebar.take([event]);
      if (LIST_EVENTS.has(event.type)) this.sidebar.refresh();
    });
    this.client.on("notice", ({ code, message, error_id: errorId, thread_id: threadId }) => {
      if (code !== "not_found") this.toasts.show(message, errorId);
      else if (threadId === this.current && this.client.isGone(threadId)) this.showMissing();
    });
    addEventListener("hashchange", () => this.openAddressed());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      this.sidebar.refresh();
      this.client.ack(this.current, this.client.stateOrEmpty(this.current).seq);
    });
    this.keys = new Keys(this);
  }

  /** Leaves for the page where the user signs in at an MCP server; it leads back to this chat. */
  async signInAt(name, questionId = "") {
    const returnTo = location.pathname + location.search + location.hash;
    const url = await this.api.signIn(name, { returnTo, questionId });
    if (isWeb(url)) location.assign(url);
  }

  /** Draws the page anew, in another language; the settings stay open, and the reader stays where they are. */
  redraw() {
    const { selectionStart, selectionEnd } = this.composer.text;
    history.replaceState({ settings: true, place: this.transcript.place, selection: [selectionStart, selectionEnd] }, "");
    location.reload();
  }

  start() {
    const { settings = false, place = null, selection = [] } = history.state ?? {};
    this.openAddressed();
    this.client.start();
    this.composer.focus();
    if (!settings) return;
    history.replaceState(null, "");
    this.composer.text.setSelectionRange(...selection);
    if (place) readOnAt(this, place);
    this.dialogs.openSettings({ focus: "select" }); // of the language, which was changed last
  }

  openAddressed() {
    const id = decoded(location.hash.slice(1));
    if (id && id !== this.current) this.open(id);
    else if (!id) this.create();
  }

  // `instead`: it takes the present chat's place also for Back; one that the address does not name never stays. `late`: what has the focus keeps it.
  open(threadId, { fresh = false, instead = location.hash === "", late = false } = {}) {
    const state = this.client.open(threadId, { fresh });
    this.back.hidden = true;
    if (threadId !== this.current) this.panel.close();
    this.current = threadId;
    this.alerts.opened(threadId);
    this.#setMissing(false);
    const address = `#${encodeURIComponent(threadId)}`;
    if (decoded(location.hash.slice(1)) !== threadId) history[instead ? "replaceState" : "pushState"](null, "", address);
    const loading = !fresh && state.seq === 0;
    this.composer.open(threadId, this.agentOf(threadId, state, loading));
    this.transcript.open(state, { loading });
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.transcript.settled();
      this.composer.follow(this.agentOf(threadId, this.client.stateOrEmpty(threadId)));
    }, LOADING_MS);
    this.sidebar.select(threadId);
    if (!late) this.sidebar.toggle(false);
    this.showTitle();
    this.composer.show(runningTurn(state), steerableTurn(state));
    this.#showGuide();
    if (!late || document.activeElement === document.body) this.composer.focus();
  }

  /**
   * Another agent was picked. Its own latest chat is shown, with a way back, unless a message is being written, or sent
   * meanwhile: that goes to the picked agent in this chat. Of several agents picked one after the other the last one's chat is shown.
   */
  async switched(agent) {
    this.transcript.refresh();
    const from = this.current;
    this.switching = agent;
    const state = this.client.stateOrEmpty(from);
    if (this.composer.holds || state.turns.length === 0 || this.agentOf(from, state)?.name === agent.name) return;
    const { threadId, turns } = await this.client.switchAgent(agent.agent_type, agent.pillar ?? null);
    const said = this.composer.holds || this.client.stateOrEmpty(from).turns.at(-1)?.key !== state.turns.at(-1).key;
    if (this.switching !== agent || this.current !== from || threadId === from || said) return;
    setText(this.back, t("chat.back_to", { title: this.title.textContent }));
    this.open(threadId, { fresh: turns.length === 0 && !this.sidebar.thread(threadId), late: true });
    this.composer.pick(agent);
    this.transcript.refresh();
    this.back.onclick = () => this.open(from);
    this.back.hidden = false;
  }

  /** The open chat is not there, or not this user's: which of both, the server does not tell. */
  showMissing() {
    this.#setMissing(true);
    this.transcript.open(this.client.state(this.current));
    this.sidebar.refresh();
    this.showTitle();
  }

  #setMissing(missing) {
    this.missing = missing;
    this.composer.element.hidden = missing;
  }

  /** Shows the additions of extensions, once they are known, also in views that are open already. */
  extended(extensions) {
    this.buttons.show(extensions.all("dialogs"));
    this.buttons.showAbove(extensions.all("topDialogs"), this.agents);
    this.account.menu.update();
    this.composer.takeFilesBy(extensions.all("intakes")[0] ?? null);
    this.places.show(extensions.all("elements"));
    this.marked();
    this.#tellKnown();
    for (const { menu } of this.sidebar.rows.values()) menu.update();
    this.dialogs.settings.made?.update();
    this.transcript.refresh();
  }

  /** The actions that extensions offer on a thing, {label, icon, act} each. */
  added(kind, what) {
    return this.extensions.made?.all(kind).map((offer) => offer(what)).filter(Boolean) ?? [];
  }

  /** The mark of a chat in the side bar, as `ThreadRow` takes it. */
  mark(id) {
    const [mark = null] = this.added("marks", id);
    return runningTurn(this.client.stateOrEmpty(id)) !== null && mark !== "needs_you" ? "running" : mark;
  }

  /** The marks of chats have changed, or what the window is called. */
  marked() {
    this.sidebar.show();
    this.showTitle();
  }

  /** The run at the end of the branch of a chat that is shown. */
  tip(threadId) {
    return lastRun(this.client.state(threadId));
  }

  #showGuide() {
    const live = runningTurn(this.client.stateOrEmpty(this.current)) !== null;
    this.guide.update(this.current, { live, online: this.client.connection.online });
  }

  create() {
    const state = this.client.state(this.current);
    if (!this.missing && state?.turns.length === 0 && state.seq === 0 && location.hash) { // this one is new already
      this.sidebar.toggle(false);
      this.transcript.settled();
      return this.composer.focus();
    }
    const { picked } = this.composer.picker;
    this.open(randomId(), { fresh: true });
    if (picked.name === this.agents.first.name) return;
    this.composer.pick(picked); // it goes along
    this.transcript.refresh();
  }

  /** The agent a thread talked to last; the first one if it is empty; null while that is not known. */
  agentOf(threadId, state, loading = this.transcript.loading) {
    const last = visible(state).at(-1) ?? this.sidebar.thread(threadId);
    if (!last) return loading ? null : this.agents.first;
    return this.agents.find(last.agentType ?? last.agent_type, last.pillar) ?? (this.agents.read ? this.agents.first : null);
  }

  changed(threadId, state, news) {
    if (news.some((event) => LIST_EVENTS.has(event.type))) this.sidebar.refreshSoon();
    if (threadId === this.current) {
      this.transcript.show(state);
      this.composer.show(runningTurn(state), steerableTurn(state));
    }
    if (!this.transcript.loading && news.every(({ type }) => FLOWING.has(type))) return;
    if (threadId === this.current) {
      if (this.missing && state.turns.length > 0) this.#setMissing(false); // another device has begun it anew
      this.transcript.settled();
      this.composer.follow(this.agentOf(threadId, state));
      this.#showGuide();
      if (news.some((event) => event.type === "message_accepted")) this.composer.showTyping(false);
      if (state.turns.length > 0) this.sidebar.note(threadId, provisionalTitle(state));
    } else {
      this.sidebar.show();
    }
    this.showTitle();
  }

  showTitle() {
    const id = this.current;
    const title = (this.missing && t("chat.missing_title")) || this.sidebar.thread(id)?.title || provisionalTitle(this.client.stateOrEmpty(id)) || t("chat.new");
    setText(this.title, title);
    const named = title === t("chat.new") ? "understudy" : t("chat.window_title", { title });
    setText(document.querySelector("title"), (this.extensions.made?.all("titles") ?? []).reduce((name, of) => of(name), named));
  }

  /** `mode` says when a run at work reads it; "after" is a message of its own. */
  say({ content, files = [], agent, references = files.map((file) => file.id), mode = "after", settings, context }) {
    const turn = mode === "after" ? null : steerableTurn(this.client.stateOrEmpty(this.current));
    if (turn && this.client.connection.online && this.client.steer(turn.runId, content, mode)) {
      this.transcript.follower.pin();
      return;
    }
    this.client.say({
      content, thread_id: this.current, message_id: randomId(),
      agent_type: agent.agent_type, pillar: agent.pillar ?? null, references,
      ...(settings && { settings, context }),
    });
    this.transcript.follow();
  }

  /** The state of the open chat stands on the screen. */
  shown(state) {
    if (document.visibilityState !== "visible") return;
    this.client.ack(state.threadId, state.seq);
    this.added("shown", state);
  }

  /** A chat was deleted; not in this tab, if that is `elsewhere`: then what was being written stands in the new chat. */
  removed(threadId, { elsewhere }) {
    this.client.forget(threadId);
    const draft = this.drafts.take(threadId);
    if (threadId !== this.current) return;
    const next = randomId();
    if (elsewhere) this.drafts.write(next, draft);
    this.open(next, { fresh: true, instead: true, late: elsewhere });
    if (elsewhere) this.toasts.show(t("chat.deleted_elsewhere"));
  }

  /** Reads who is signed in, and their chats; what has never been read is tried again. */
  async readUser() {
    const listed = this.sidebar.refresh();
    await this.account.refresh();
    this.left.takeBack(); // at once: what another user had left is gone when the name of this one is shown
    await listed;
    if (!this.account.who || !this.sidebar.loaded) setTimeout(() => this.client.connection.online && this.readUser(), AGAIN_MS);
    this.transcript.refreshEmpty();
    this.#tellKnown();
    (await goneThreads(this.client, this.sidebar.all)).forEach((threadId) => this.removed(threadId, { elsewhere: true }));
  }

  async readAgents() {
    try {
      this.agents.take(await this.api.agents());
    } catch {
      setTimeout(() => this.client.connection.online && this.readAgents(), AGAIN_MS); // those known from before stay until then
    }
    this.agents.read = true;
    this.buttons.showAbove(this.extensions.made?.all("topDialogs") ?? [], this.agents);
    this.composer.follow(this.agentOf(this.current, this.client.stateOrEmpty(this.current)));
    this.transcript.refresh();
    this.#tellKnown();
  }

  /** Tells extensions who is signed in and which model answers, as soon as both are known. */
  #tellKnown() {
    const { account: { who }, agents: { model } } = this;
    if (who && model) this.added("known", { who, model });
  }
}

for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, () => renderer.load(), { once: true, capture: true }); // an answer may follow
Promise.all([startLanguage(safeStorage(browserStorage())), painted()]).then(() => new Page().start());
