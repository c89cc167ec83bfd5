// @ts-check
/** Sections 2 and 3: the same picture explained by several methods, and by several nets. */

import { percent } from "../element/bars.js";
import { h } from "../element/dom.js";
import { certificate, mapCard, sharedLimits } from "./maps.js";
import { part, said } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */
/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */

const FIRST = ["shapley", "lime", "integrated_gradients", "grad_cam"]; // that are chosen at first
const MOST = 6; // that are asked at once

/** @param {Page} page @returns {Part} */
export function setUpMaps({ digit, client, words, models, methods, question }) {
  const chosen = new Set(FIRST);
  const look = { opacity: 1, threshold: 0 };
  const opacity = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: "1" });
  const threshold = h("input", { type: "range", min: "0", max: "0.9", step: "0.05", value: "0" });
  let asking = new AbortController();
  /** @type {{picture: ImageBitmap, ways: any, nets: any} | null} */
  let shown = null;

  for (const [input, name] of /** @type {const} */ ([[opacity, "opacity"], [threshold, "threshold"]])) {
    input.addEventListener("input", () => {
      look[name] = input.valueAsNumber;
      show();
    });
  }

  function translate() {
    part("methods").setAttribute("aria-label", words().methods);
    part("methods").replaceChildren(...methods.methods.map(({ name, summary }) => {
      const input = h("input", { type: "checkbox", value: name });
      input.checked = chosen.has(name);
      input.addEventListener("change", () => {
        if (input.checked) chosen.add(name);
        else chosen.delete(name);
        update(digit.explanation);
      });
      return h("label", { class: "check", title: summary }, input, name.replaceAll("_", " "));
    }));
    part("scale").replaceChildren(
      h("label", {}, words().opacity, " ", opacity), h("label", {}, words().threshold, " ", threshold));
  }

  /** @param {Explanation | null} answer */
  function update(answer) {
    asking.abort();
    asking = new AbortController();
    if (answer === null) {
      shown = null;
      for (const id of ["cards", "net-cards"]) {
        part(id).replaceChildren(h("p", { class: "quiet" }, digit.empty ? words().first : words().wait));
      }
      part("agreement").textContent = "";
    } else {
      void ask(asking.signal);
    }
  }

  /** @param {AbortSignal} signal */
  async function ask(signal) {
    const file = await digit.toBlob();
    if (file === null) return;
    const { model, target, versus, lang } = question();
    const able = methods.methods.filter((one) => !model || one.models.includes(model)).map((one) => one.name);
    const asked = [...chosen].filter((one) => able.includes(one)).slice(0, MOST);
    const nets = models.models;
    try {
      const [picture, ways, others] = await Promise.all([
        createImageBitmap(file),
        compared("methods", asked, { model, target, versus, lang }),
        compared("models", nets, { target, versus, lang }),
      ]);
      if (signal.aborted) return;
      shown = { picture, ways, nets: others };
      show();
    } catch (error) {
      if (!signal.aborted) part("cards").replaceChildren(said(error));
    }

    /** @param {"methods" | "models"} by @param {string[]} names @param {import("../element/client.js").Options} options */
    async function compared(by, names, options) {
      if (names.length > 1) return client.post("v1/compare", /** @type {Blob} */ (file), { [by]: names.join(","), ...options }, signal);
      const one = names.length ? { [by === "methods" ? "method" : "model"]: names[0] } : null;
      const explained = one && (await client.explain(/** @type {Blob} */ (file), { ...options, ...one }, signal));
      return { explanations: explained ? [explained] : [], agreement: { labels: [], matrix: [] } };
    }
  }

  function show() {
    if (shown === null) return;
    const { picture, ways, nets } = shown;
    const limits = sharedLimits(ways.explanations);
    part("cards").replaceChildren(...ways.explanations.map((/** @type {Explanation} */ one) => {
      const { method } = one.explanation;
      const summary = methods.methods.find(({ name }) => name === method)?.summary ?? "";
      const about = document.documentElement.lang === "en" ? [summary] : [];
      const sentences = [...certificate(one, words()), ...about];
      return mapCard(one, picture, limits, look, words(), classesOf(one), method.replaceAll("_", " "), sentences);
    }));
    part("agreement").textContent = agreement(ways.agreement);
    const netLimits = sharedLimits(nets.explanations);
    part("net-cards").replaceChildren(...nets.explanations.map((/** @type {Explanation} */ one) => {
      const title = words().reads(one.model.name.toUpperCase(), one.prediction.label, percent(one.prediction.probability));
      return mapCard(one, picture, netLimits, look, words(), classesOf(one), title, []);
    }));
  }

  /** @param {Explanation} answer @returns {string[]} */
  const classesOf = ({ model }) => models.details.find(({ name }) => name === model.name)?.classes ?? [];

  /** @param {{labels: string[], matrix: (number | null)[][]}} agreement */
  function agreement({ labels, matrix }) {
    const pairs = labels.flatMap((first, i) => labels.slice(i + 1).map((second, j) => {
      const share = matrix[i]?.[i + 1 + j];
      return `${first.replaceAll("_", " ")} – ${second.replaceAll("_", " ")} ${share?.toFixed(2) ?? "?"}`;
    }));
    return pairs.length ? words().agreement(pairs.join(", ")) : "";
  }

  return { translate, update };
}
