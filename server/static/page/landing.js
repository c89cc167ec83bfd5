// @ts-check
/** Where the digit lands among what the net has learned: on the map of its centroids, and in a sentence. */

import { h } from "../element/dom.js";
import { onDemand, part } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */

/** @param {Page} page @returns {Part} */
export function setUpLanding(page) {
  const { client, words, question } = page;
  const button = h("button", { type: "button" });
  const outcome = h("div", { "aria-live": "polite" });
  const stop = onDemand(page, button, outcome, async (file, signal) => {
    const { model, prediction, neighbours } = await client.predict(file, { model: question().model, neighbours: true }, signal);
    if (!neighbours) return;
    const [own, next] = [neighbours.own[0], neighbours.next[0]];
    const sentence = [
      own ? words().landsAmong(prediction.label, own.distance.toFixed(2)) : words().landsNowhere(prediction.label),
      next ? words().landsBeside(next.label, next.distance.toFixed(2)) : "",
    ].join("");
    const about = { version: model.version, format: "svg", mark: neighbours.position.join(",") };
    const map = await client.download(`v1/models/${encodeURIComponent(model.name)}/map`, about, signal);
    const image = h("img", { alt: words().mapOf(model.name), class: "map" });
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
    image.src = URL.createObjectURL(map);
    outcome.replaceChildren(h("p", {}, sentence), image, h("p", { class: "quiet small" }, words().mapHelp));
  });

  return {
    translate() {
      button.textContent = words().landingButton;
      part("landing").replaceChildren(
        h("h3", {}, words().landing), h("p", {}, words().landingHelp), h("div", { class: "row" }, button), outcome);
    },
    update(answer) {
      stop();
      outcome.replaceChildren();
      button.disabled = answer === null;
    },
  };
}
