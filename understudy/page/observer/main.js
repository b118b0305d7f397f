/** The composition root of the operators' page. */

import { browserStorage, safeStorage } from "../client/safe_storage.js";
import { Board } from "./board.js";
import { ObserverApi } from "./api.js";
import { SignIn, TOKEN } from "./sign_in.js";

/** sessionStorage where the page may use it: the token goes with the tab. */
function tabStorage() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return null;
  }
}

class Page {
  constructor() {
    this.tab = safeStorage(tabStorage());
    this.storage = safeStorage(browserStorage());
    this.signIn = new SignIn((token) => this.open(token));
    this.board = null;
  }

  start() {
    const token = this.tab.getItem(TOKEN);
    if (token) this.open(token);
    else this.ask(null);
  }

  ask(sentence) {
    this.board?.stop();
    this.board = null;
    this.tab.removeItem(TOKEN);
    this.signIn.refuse(sentence);
    document.body.replaceChildren(this.signIn.element);
    this.signIn.input.focus();
  }

  open(token) {
    this.tab.setItem(TOKEN, token);
    const board = new Board(new ObserverApi(token), this.storage, (sentence) => board === this.board && this.ask(sentence));
    this.board = board;
    document.body.replaceChildren(board.element);
    board.start();
  }
}

new Page().start();
