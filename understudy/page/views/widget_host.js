/** What the page does for the widgets of the open chat: it reads them, and has the server call tools for them. */

export class WidgetHost {
  /** `api` is an `Api`, `current()` the id of the open chat. */
  constructor(api, current) {
    Object.assign(this, { api, current, calls: null });
  }

  /** Resolves to {html, frame, tool, arguments, result} of a call. */
  read(callId) {
    return this.api.widget(this.current(), callId);
  }

  /** Calls a tool for the widget of a call. Resolves to a result of the widgets' protocol; rejects if it is refused. */
  async call(callId, name, parameters) {
    const threadId = this.current();
    const { WidgetCalls } = await import("../extensions/widgets/calls.js");
    this.calls ??= new WidgetCalls(this.api);
    return this.calls.call(threadId, callId, name, parameters);
  }

  /** The open chat has another state, or another chat is open. */
  take(state) {
    this.calls?.leave(state.threadId);
    this.calls?.take(state);
  }
}
