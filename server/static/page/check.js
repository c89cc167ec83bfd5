// @ts-check
/** Whether the map of section 1 is true: its faithfulness, measured beside two controls. */

import { h } from "../element/dom.js";
import { part, said } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */
/** @typedef {{value: number | null, random_beaten: number | null, intensity: number | null, better: "lower" | "higher"}} Measure */

const PASSED = 0.95; // of the random controls that are beaten, as the server's verdict has it

/** @param {Page} page @returns {Part} */
export function setUpCheck({ digit, client, words, question }) {
  const button = h("button", { type: "button" });
  const outcome = h("div", { "aria-live": "polite" });
  let asking = new AbortController();

  button.addEventListener("click", async () => {
    asking.abort();
    const { signal } = (asking = new AbortController());
    const [file, shown] = [await digit.toBlob(), digit.explanation];
    if (file === null || shown === null || signal.aborted) return;
    outcome.replaceChildren(h("p", { class: "quiet" }, words().wait));
    try {
      const options = { ...question(), method: shown.explanation.method, quality: true };
      const { explanation } = await client.explain(file, options, signal);
      const { measures, verdict } = explanation.quality ?? { measures: {}, verdict: "" };
      outcome.replaceChildren(h("p", {}, h("strong", {}, words()[judged(Object.values(measures))])), h("p", { class: "quiet" }, verdict));
    } catch (error) {
      if (!signal.aborted) outcome.replaceChildren(said(error));
    }
  });

  return {
    translate() {
      button.textContent = words().checkButton;
      part("check").replaceChildren(
        h("h3", {}, words().check), h("p", {}, words().checkHelp), h("div", { class: "row" }, button), outcome);
    },
    update(answer) {
      asking.abort();
      outcome.replaceChildren();
      button.disabled = answer === null;
    },
  };
}

/** @param {Measure[]} measures @returns {"holds" | "doubtful" | "unknown"} */
function judged(measures) {
  const taken = measures.filter((one) => one.random_beaten !== null && one.value !== null);
  if (taken.length === 0) return "unknown";
  const better = (/** @type {Measure} */ { value, intensity, better: side }) =>
    intensity === null || value === null || (side === "lower" ? value < intensity : value > intensity);
  return taken.every((one) => (one.random_beaten ?? 0) >= PASSED && better(one)) ? "holds" : "doubtful";
}
