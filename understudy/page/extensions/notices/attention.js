/** What calls the user to this page while they look elsewhere: the title, the icon of the tab, the badge of the app. */

import { ROOT } from "../../client/address.js";
import { t } from "../../client/messages.js";

const ICON = `${ROOT}/page/icon.svg`;
const WAITING_ICON = `${ROOT}/page/icon-waiting.svg`;

export class Attention {
  constructor() {
    this.count = 0;
    this.icon = document.querySelector("link[rel=icon]");
  }

  /** What the window is called that has this title. */
  title(title) {
    return this.count > 0 ? t("inbox.window_title", { count: this.count, title }) : title;
  }

  /** How many items wait for the user. */
  waiting(count) {
    if (count === this.count) return;
    this.count = count;
    const href = count > 0 ? WAITING_ICON : ICON;
    if (this.icon && this.icon.getAttribute("href") !== href) this.icon.setAttribute("href", href);
    const badge = count > 0 ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
    badge?.catch(() => {}); // only installed apps have one
  }
}
