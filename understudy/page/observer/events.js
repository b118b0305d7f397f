/** Server-sent events out of a text that comes in pieces (WHATWG HTML, section 9.2.6). Pure. */

export class EventParser {
  constructor() {
    this.rest = "";
    this.kind = "";
    this.data = [];
  }

  /** The events that are whole by now, as {kind, data}; `data` is what the JSON says. */
  feed(text) {
    const lines = (this.rest + text).split("\n"); // this server ends its lines with LF
    this.rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#whole();
    const at = line.indexOf(":");
    const [name, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (name === "event") this.kind = value;
    else if (name === "data") this.data.push(value);
    return null;
  }

  #whole() {
    const [kind, data] = [this.kind || "message", this.data];
    [this.kind, this.data] = ["", []];
    return data.length > 0 ? { kind, data: JSON.parse(data.join("\n")) } : null;
  }
}
