/** Diagrams in place of the code that they are written as, which stays below them. Drawn in a frame of their own. */

import { ROOT } from "../client/address.js";
import { t } from "../client/messages.js";
import { el } from "../elements/dom.js";

const MOST_CHARACTERS = 10_000; // of a diagram; a longer one stays code
const MOST_SVG = 2_000_000;
const READY_MS = 15_000; // for the frame, which is some hundred kilobytes
const DRAW_MS = 10_000;
const SIZE = /viewBox="[-\d.e]+ [-\d.e]+ ([\d.]+) ([\d.]+)"/;

let frame = null;
let last = 0;

/** Puts the diagram that `text` writes before the code in `box`; if it cannot be drawn, the code stays as it is. */
export async function draw(box, text) {
  if (text.length > MOST_CHARACTERS) return;
  frame ??= new DiagramFrame();
  const svg = await frame.draw(text);
  if (svg === null) return;
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const [, width = null, height = null] = SIZE.exec(svg) ?? [];
  const image = el("img.diagram", { src: address, alt: t("answer.diagram") });
  if (width) Object.assign(image, { width: Math.ceil(width), height: Math.ceil(height) });
  const decoded = await image.decode().then(() => true, () => false);
  URL.revokeObjectURL(address);
  const code = box.lastElementChild;
  if (!decoded || !box.isConnected || code.matches("details")) return;
  const source = el("details.diagram-source", {}, el("summary", {}, t("answer.diagram_source")));
  code.replaceWith(image, source);
  source.append(code);
}

class DiagramFrame {
  constructor() {
    this.waiting = new Map(); // id -> what is called with the SVG, or null
    this.element = el("iframe.diagram-frame", { tabIndex: -1, "aria-hidden": "true", title: t("answer.diagram") });
    this.element.setAttribute("sandbox", "allow-scripts");
    this.hear = (event) => this.#hear(event);
    this.ready = new Promise((resolve) => { this.begin = resolve; });
    addEventListener("message", this.hear);
    this.element.src = `${ROOT}/diagram`;
    document.body.append(this.element);
    setTimeout(() => this.begin(false), READY_MS);
  }

  /** Resolves to the SVG of a diagram, null if it cannot be drawn. A frame that does not answer is replaced. */
  async draw(text) {
    if (!(await this.ready)) {
      this.#end();
      return null;
    }
    const id = last += 1;
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#end();
        resolve(null);
      }, DRAW_MS);
      this.waiting.set(id, (svg) => {
        clearTimeout(late);
        resolve(svg);
      });
      this.element.contentWindow.postMessage({ id, text }, "*"); // its origin is nobody's: no other target reaches it
    });
  }

  #hear({ source, data }) {
    if (source === null || source !== this.element.contentWindow) return;
    if (data?.ready === true) this.begin(true);
    const answer = this.waiting.get(data?.id);
    this.waiting.delete(data?.id);
    answer?.(typeof data.svg === "string" && data.svg.length <= MOST_SVG ? data.svg : null);
  }

  #end() {
    removeEventListener("message", this.hear);
    this.element.remove();
    for (const answer of this.waiting.values()) answer(null);
    if (frame === this) frame = null;
  }
}
