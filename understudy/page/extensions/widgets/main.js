/** Adds widgets to answers. Their code is loaded with the first one. See `extensions.js`. */

export function extend(page) {
  let calls = null;
  page.add("answers", {
    fits: ({ steps }) => steps.some(({ widget }) => widget),
    load: async () => {
      const [{ WidgetsView }, { WidgetCalls }] = await Promise.all([
        import("./view.js"), import("./calls.js"), page.addStyle(new URL("./widgets.css", import.meta.url)),
      ]);
      calls ??= new WidgetCalls(page);
      return ({ onSay }) => new WidgetsView(calls, onSay);
    },
  });
  page.add("shown", (state) => calls?.take(state));
}
