/** A form with a password and the request that it sends: on the page where users join, and in the dialogs of signing in. */

import { errorText, t } from "../../client/messages.js";
import { showUntilClosed } from "../../elements/dialog.js";
import { el, freshId, setText } from "../../elements/dom.js";

const ASK_MS = 20_000; // others may sign in at the same moment, and a password takes a while to check

/**
 * The answer of the server to what a form sends. Rejects with a sentence ({message}): of `refusals`, by the status of the
 * answer, or of the error's code. `server` is {fetch, base}. `token` is the session's, if it asks for one.
 */
export async function askServer({ fetch, base }, path, body, refusals = {}, { method = "POST", token = null } = {}) {
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(base + path, {
    method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(ASK_MS),
  }).catch(() => { throw new Error(errorText({ code: "offline" })); });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const seconds = Number(answer.headers.get("Retry-After")) || 1;
  const waits = answer.status === 429 ? t("accounts.wait", { count: seconds }) : null;
  throw Object.assign(new Error(refusals[answer.status] ?? waits ?? errorText(said.error ?? { code: "unknown" })), { status: answer.status });
}

/** A field: {label, type, autocomplete, value}. */
function fieldOf({ label, type = "password", autocomplete, value = "", readOnly = false }) {
  const id = freshId("field");
  const input = el("input.field-input", { id, type, autocomplete, value, readOnly, required: true, spellcheck: false, autocapitalize: "none" });
  return { input, element: el("div.field", {}, el("label.field-label", { for: id }, label), input) };
}

/**
 * {element, focus()}: a form. `send(...typed)` gets what stands in the fields, in their order, and rejects with a sentence
 * to be shown. `actions` stand before the button that sends. `other` is another way in, {label, act()}: a button of which
 * `act` rejects as `send` does.
 */
export function passwordForm({ head, fields, agree, actions = [], foot = null, other = null, send }) {
  const made = fields.map(fieldOf);
  const faultId = freshId("fault");
  const fault = el("p.field-error", { id: faultId, role: "alert" });
  const submit = el("button.primary", { type: "submit" }, agree);
  const passwords = made.map(({ input }) => input).filter((input) => input.type === "password");
  const refuse = (sentence, wrong = sentence) => {
    setText(fault, sentence);
    for (const input of passwords) {
      if (wrong) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  };
  const first = made.map(({ input }) => input).find((input) => !input.readOnly);
  for (const { input } of made) {
    input.setAttribute("aria-describedby", faultId);
    input.addEventListener("input", () => refuse(""));
  }
  const otherWay = other && el("button.secondary", {
    type: "button",
    onclick: async () => {
      if (submit.disabled) return;
      submit.disabled = true;
      refuse("");
      await other.act().catch((refusal) => refuse(refusal.message, ""));
      submit.disabled = false;
    },
  }, other.label);
  const element = el("form", {
    noValidate: true,
    onsubmit: async (event) => {
      event.preventDefault();
      const empty = made.find(({ input }) => input.value === "");
      if (submit.disabled || empty) return empty?.input.focus();
      submit.disabled = true;
      refuse("");
      try {
        await send(...made.map(({ input }) => input.value));
      } catch (refusal) {
        refuse(refusal.message);
        passwords[0].focus();
        passwords[0].select();
      }
      submit.disabled = false;
    },
  }, head, el("div.fields", {}, made.map((each) => each.element)), fault, foot, el("div.dialog-actions", {}, actions, otherWay, submit));
  return { element, focus: () => first.focus() };
}

/**
 * Shows a form in a dialog; the members are those of `passwordForm`. `send` gets a function that closes the dialog before
 * what was typed, and `other.act` gets it too. Resolves when it is closed.
 */
export function passwordDialog({ title, text = null, send, other = null, ...form }) {
  const id = freshId("dialog");
  const { element, focus } = passwordForm({
    ...form, head: [el("h2", { id }, title), text && el("p", {}, text)],
    actions: [el("button.secondary", { type: "button", onclick: () => dialog.close() }, t("action.not_now"))],
    other: other && { ...other, act: () => other.act(() => dialog.close()) },
    send: (...typed) => send(() => dialog.close(), ...typed),
  });
  const dialog = el("dialog.dialog", { "aria-labelledby": id }, element);
  const closed = showUntilClosed(dialog);
  focus();
  return closed;
}
