/** Calls of tools that a user makes without words: by a starter, a suggested next step, or a form for missing parameters. */

import { t } from "../client/messages.js";
import { dialogHead, showUntilClosed } from "../elements/dialog.js";
import { el, freshId } from "../elements/dom.js";
import { LazyFields } from "../forms/lazy_fields.js";

/**
 * Makes the call of an offer, {label, tool, arguments}, at once if nothing is left open, else by a form. Resolves to whether it was made.
 *
 * `page` is {api, composer, say(said), toasts}; `agent` is who is asked. A table that is attached to the message being
 * written is the one that a tool needs.
 */
export async function callTool({ label, tool: name, arguments: given }, agent, page) {
  const { api, composer, toasts } = page;
  const tool = await api.tools().then(({ tools }) => tools.find((one) => one.name === name), (fault) => fault);
  if (tool === undefined || tool instanceof Error) {
    toasts.show(tool?.message ?? t("call.gone", { tool: label }));
    return false;
  }
  const files = composer.attachments.ready;
  const values = { ...given, ...withTable(tool.parameters, given, files) };
  const open = (tool.parameters.required ?? []).some((one) => !Object.hasOwn(values, one));
  const any = Object.keys(tool.parameters.properties ?? {}).length > 0;
  const call = (context) => {
    const references = Object.entries(context).filter(([one]) => takesTable(tool.parameters, one)).map(([, id]) => id);
    const { picked } = composer.picker;
    page.say({ content: label, agent, references, settings: { tool: name }, context });
    composer.pick(picked); // also where a colleague answers, who has the tool
    if (references.some((id) => files.some((file) => file.id === id))) composer.attachments.restore([]);
  };
  const form = open || (any && Object.keys(values).length === 0);
  if (form) new ToolForm(label, tool, values, page, call).open();
  else call(values);
  return !form;
}

/** The parameters that take a table and have none, with the last file that is attached. */
function withTable(parameters, given, files) {
  const [last] = files.slice(-1);
  const missing = (parameters.required ?? []).filter((name) => takesTable(parameters, name) && !Object.hasOwn(given, name));
  return last ? Object.fromEntries(missing.map((name) => [name, last.id])) : {};
}

function takesTable(parameters, name) {
  return parameters.properties?.[name]?.format === "table-id";
}

function defaultsOf(parameters) {
  return Object.fromEntries(Object.entries(parameters.properties ?? {}).flatMap(([name, { default: value }]) => (value ?? null) === null ? [] : [[name, value]]));
}

/** A dialog with the parameters of a tool as fields. */
class ToolForm {
  constructor(label, tool, values, { api, composer }, onCall) {
    const id = freshId("tool");
    const upload = (file) => api.upload(file, { onProgress: () => {}, signal: AbortSignal.timeout(120_000) });
    const known = new Map(composer.attachments.ready.map((file) => [file.id, file.name]));
    this.fields = new LazyFields(tool.parameters, { ...defaultsOf(tool.parameters), ...values }, { upload, known });
    const submit = (event) => {
      event.preventDefault();
      const answer = this.fields.read();
      if (!answer) return;
      this.dialog.close();
      onCall(answer);
    };
    this.dialog = el("dialog.dialog.tool-form", { "aria-labelledby": id },
      dialogHead(id, label), el("p.hint", { dir: "auto" }, tool.description),
      el("form.question-form", { noValidate: true, onsubmit: submit }, this.fields.element,
        el("div.dialog-actions", {}, el("button.primary", { type: "submit" }, t("action.send")))));
  }

  open() {
    showUntilClosed(this.dialog);
    this.fields.focus();
  }
}
