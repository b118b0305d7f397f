/** The frame of a page for operators: it asks for a token, and keeps it with the tab, for all of these pages. */

import { safeStorage } from "../client/safe_storage.js";
import { SignIn, TOKEN } from "./sign_in.js";

/** sessionStorage where the page may use it: the token goes with the tab. */
function tabStorage() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return null;
  }
}

export class OperatorPage {
  /**
   * `make(token, onRefused)` is what the page shows: {element, start(), stop()}; it calls `onRefused(sentence)` when the
   * token is not accepted. `words` are those of the question for it.
   */
  constructor(make, words) {
    this.make = make;
    this.tab = safeStorage(tabStorage());
    this.signIn = new SignIn((token) => this.open(token), words);
    this.shown = null;
  }

  start() {
    const token = this.tab.getItem(TOKEN);
    if (token) this.open(token);
    else this.ask(null);
  }

  ask(sentence) {
    this.shown?.stop();
    this.shown = null;
    this.tab.removeItem(TOKEN);
    this.signIn.refuse(sentence);
    document.body.replaceChildren(this.signIn.element);
    this.signIn.input.focus();
  }

  open(token) {
    this.tab.setItem(TOKEN, token);
    const made = this.make(token, (sentence) => made === this.shown && this.ask(sentence));
    this.shown = made;
    document.body.replaceChildren(made.element);
    made.start();
  }
}
