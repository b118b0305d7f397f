/** gzip in browsers and in Node, with a bound on what may come out. */

/** Whether this program can unpack gzip; only then the server is asked for it. */
export const CAN_GUNZIP = typeof DecompressionStream === "function";

/** The text in `bytes` (gzip of UTF-8). Raises RangeError beyond `maxBytes`, TypeError when it is no gzip. */
export async function gunzip(bytes, maxBytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let [text, size] = ["", 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > maxBytes) {
      reader.cancel().catch(() => {}); // the rest is of no interest, nor is how it ends
      throw new RangeError(`a frame unpacks to more than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
