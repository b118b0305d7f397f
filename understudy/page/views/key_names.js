/** What keys are called on this system. */

import { t } from "../client/messages.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** A key with the one that commands are given with, as this system writes it. */
export const commandKey = (key, { shift = false } = {}) => (MAC ? `${shift ? "⇧" : ""}⌘${key}` : [t("key.control"), shift && t("key.shift"), key].filter(Boolean).join("+"));
