// @ts-check
/** Whether the map of section 1 is true: its faithfulness, measured beside two controls. */

import { h } from "../element/dom.js";
import { configuration, onDemand, part } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */

/** @param {Page} page @returns {Part} */
export function setUpCheck(page) {
  const { digit, client, words, methods, question } = page;
  const button = h("button", { type: "button" });
  const outcome = h("div", { "aria-live": "polite" });
  const stop = onDemand(page, button, outcome, async (file, signal) => {
    const shown = digit.explanation;
    if (shown === null) return;
    const options = { ...question(), ...configuration(shown.explanation, methods), quality: true };
    const { explanation } = await client.explain(file, options, signal);
    const { passed, verdict } = explanation.quality ?? { passed: null, verdict: "" };
    const judged = passed === null ? "unknown" : passed ? "holds" : "doubtful";
    outcome.replaceChildren(h("p", {}, h("strong", {}, words()[judged])), h("p", { class: "quiet" }, verdict));
  });

  return {
    translate() {
      button.textContent = words().checkButton;
      part("check").replaceChildren(
        h("h3", {}, words().check), h("p", {}, words().checkHelp), h("div", { class: "row" }, button), outcome);
    },
    update(answer) {
      stop();
      outcome.replaceChildren();
      button.disabled = answer === null;
    },
  };
}
