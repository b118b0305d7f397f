/** Takes the place of `widget.js` on a site that the server does not allow: logs a sentence to the console; its chat does nothing. */

const { origin } = new URL(import.meta.url);

/** Says why there is no chat; as `mount` of `widget.js`. */
export function mount() {
  console.error(`understudy: ${origin} does not allow pages of ${globalThis.location?.origin}, so there is no chat. Its operator adds them to allowed_origins.`);
  return Object.assign(new EventTarget(), { isOpen: false, open() {}, close() {}, destroy() {} });
}

export const chat = mount();
