/**
 * Draws the diagrams of answers by mermaid, in a frame whose origin is nobody's and that has no network: it is sent what a diagram is
 * written as, and sends back an SVG, which the page shows as an image.
 *
 * The bundler puts mermaid and this into one document, `page/lib/diagram.html`, which the server sends as /diagram.
 */
/* global mermaid */

const SENTENCE = 500; // characters of what mermaid says of a fault
const LOOKS = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "font-family", "font-size", "font-weight", "font-style",
  "text-anchor", "dominant-baseline", "marker-start", "marker-mid", "marker-end", "display", "visibility",
];

mermaid.initialize({
  startOnLoad: false, securityLevel: "strict", suppressErrorRendering: true, theme: "neutral", htmlLabels: false, flowchart: { htmlLabels: false },
  maxTextSize: 10_000, maxEdges: 200,
});
addEventListener("message", async ({ source, data }) => {
  if (source !== parent || typeof data?.text !== "string") return;
  try {
    const { svg } = await mermaid.render(`diagram-${data.id}`, data.text);
    parent.postMessage({ id: data.id, svg: withoutStyles(svg) }, "*"); // its own origin is nobody's, and it knows no other
  } catch (fault) {
    parent.postMessage({ id: data.id, fault: String(fault?.message ?? fault).slice(0, SENTENCE) }, "*");
  }
});

/** A drawing whose looks are attributes: the policy of the page, which some browsers keep within images, takes no styles. */
function withoutStyles(text) {
  const drawing = document.importNode(new DOMParser().parseFromString(text, "text/html").querySelector("svg"), true);
  document.body.append(drawing);
  const looks = [...drawing.querySelectorAll("*")].map((part) => [part, getComputedStyle(part)]);
  for (const [part, look] of looks) for (const name of LOOKS) part.setAttribute(name, look.getPropertyValue(name));
  for (const part of [drawing, ...drawing.querySelectorAll("*")]) part.removeAttribute("style");
  for (const part of drawing.querySelectorAll("style, script, foreignObject")) part.remove();
  drawing.remove();
  return new XMLSerializer().serializeToString(drawing);
}

parent.postMessage({ ready: true }, "*");
