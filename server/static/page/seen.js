// @ts-check
/** What the net sees of a picture, and what was done to it: below the pad. */

import { h } from "../element/dom.js";
import { part } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */

/** @param {Page} page @returns {Part} */
export function setUpSeen({ digit, client, words, question, failed }) {
  const canvas = h("canvas", { role: "img" });
  const text = h("p", { class: "quiet" });
  let asking = new AbortController();

  /** @param {AbortSignal} signal */
  async function show(signal) {
    const file = await digit.toBlob();
    if (file === null || signal.aborted) return;
    const answer = await client.predict(file, { model: question().model, pixels: true }, signal);
    const { pixels, steps } = answer.preprocessing;
    if (!pixels || signal.aborted) return;
    paintGrey(canvas, pixels);
    const known = /** @type {Record<string, string>} */ (words().steps);
    const done = steps.map((step) => known[step] ?? step).join(words().comma);
    text.textContent = words().done(done || words().nothing);
    part("seen").hidden = false;
    part("seen").setAttribute("aria-busy", "false");
  }

  return {
    translate() {
      canvas.setAttribute("aria-label", words().seen);
      part("seen").replaceChildren(canvas, h("div", {}, h("h3", {}, words().seen), text));
      part("seen").hidden = true;
    },
    update(answer) {
      asking.abort();
      asking = new AbortController();
      part("seen").setAttribute("aria-busy", "true");
      if (digit.empty || failed()) part("seen").hidden = true;
      else if (answer) show(asking.signal).catch(() => (part("seen").hidden = true)); // the element says what is wrong
    },
  };
}

/** Ink, 1, is black. @param {HTMLCanvasElement} canvas @param {readonly (readonly number[])[]} pixels */
export function paintGrey(canvas, pixels) {
  canvas.width = pixels[0]?.length ?? 0;
  canvas.height = pixels.length;
  const image = new ImageData(canvas.width, canvas.height);
  pixels.flat().forEach((ink, place) => {
    const grey = 255 * (1 - Math.min(1, Math.max(0, ink)));
    image.data.set([grey, grey, grey, 255], place * 4);
  });
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}
