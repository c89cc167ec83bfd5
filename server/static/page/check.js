// @ts-check
/** Whether the map of section 1 is true: its faithfulness, measured beside two controls. */

import { h } from "../element/dom.js";
import { configuration, part, said } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */

/** @param {Page} page @returns {Part} */
export function setUpCheck({ digit, client, words, methods, question }) {
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
      const options = { ...question(), ...configuration(shown.explanation, methods), quality: true };
      const { explanation } = await client.explain(file, options, signal);
      const { passed, verdict } = explanation.quality ?? { passed: null, verdict: "" };
      const judged = passed === null ? "unknown" : passed ? "holds" : "doubtful";
      outcome.replaceChildren(h("p", {}, h("strong", {}, words()[judged])), h("p", { class: "quiet" }, verdict));
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
