/** Has charts drawn, one at a time, by a worker without a network. One that takes too long is ended with its worker. */

import { ROOT } from "../client/address.js";
import { scriptUrl } from "../answer/safe_html.js";

const READY_MS = 30_000; // for the worker's script, which is some hundred kilobytes
const DRAW_MS = 10_000;

let worker = null; // {instance, ready}
let last = Promise.resolve();

/** Resolves to {svg, points} of a Vega-Lite specification, as `packaging/page/chart_worker.js` makes them; null if it cannot be drawn. */
export function drawChart(spec, look) {
  last = last.then(() => draw({ spec, look })).catch(() => null);
  return last;
}

async function draw(request) {
  worker ??= begin();
  const { instance, ready } = worker;
  const answer = (await ready) === null ? null : await ask(instance, request);
  if (answer === null) {
    instance.terminate();
    worker = null;
  }
  if (answer?.fault) console.warn(answer.fault); // for the author of its tool
  return answer?.svg ? answer : null;
}

function begin() {
  const instance = new Worker(scriptUrl(`${ROOT}/chart-worker.js`));
  return { instance, ready: answerOf(instance, READY_MS) };
}

function ask(instance, request) {
  const answer = answerOf(instance, DRAW_MS);
  instance.postMessage(request);
  return answer;
}

/** Resolves to what a worker says next; null if it fails, or says nothing in time. */
function answerOf(instance, within) {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, within, null);
    const end = (answer) => {
      clearTimeout(late);
      resolve(answer);
    };
    instance.onmessage = ({ data }) => end(data);
    instance.onerror = () => end(null);
  });
}
