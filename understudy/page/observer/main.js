/** The composition root of the operators' page. */

import { safeStorage } from "../client/safe_storage.js";
import { ObserverApi } from "./api.js";
import { Observer } from "./observer.js";
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
    this.signIn = new SignIn((token) => this.open(token));
    this.observer = null;
  }

  start() {
    const token = this.tab.getItem(TOKEN);
    if (token) this.open(token);
    else this.ask(null);
  }

  ask(sentence) {
    this.observer?.stop();
    this.observer = null;
    this.tab.removeItem(TOKEN);
    this.signIn.refuse(sentence);
    document.body.replaceChildren(this.signIn.element);
    this.signIn.input.focus();
  }

  open(token) {
    this.tab.setItem(TOKEN, token);
    const observer = new Observer(new ObserverApi(token), (sentence) => observer === this.observer && this.ask(sentence));
    this.observer = observer;
    document.body.replaceChildren(observer.element);
    observer.start();
  }
}

new Page().start();
