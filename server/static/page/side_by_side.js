// @ts-check
/** Sections 2 and 3: the same picture explained by several methods, and by several nets. */

import { percent } from "../element/bars.js";
import { h } from "../element/dom.js";
import { certificate, mapCard, minus, sharedLimits } from "./maps.js";
import { part, patiently, said } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */
/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */

const FIRST = ["shapley", "lime", "integrated_gradients", "grad_cam"]; // that are chosen at first
const MOST = 6; // that are asked at once
const PAUSE = 250; // milliseconds, in which more methods may be chosen
const SHELVES = /** @type {const} */ (["cards", "net-cards"]);

/** @typedef {{explanations: Explanation[], agreement: {labels: string[], matrix: (number | null)[][]}}} Comparison */

/** @param {Page} page @returns {Part} */
export function setUpMaps({ digit, client, words, models, methods, question, failed }) {
  const chosen = new Set(FIRST);
  const look = { opacity: 1, threshold: 0 };
  const opacity = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: "1" });
  const threshold = h("input", { type: "range", min: "0", max: "0.9", step: "0.05", value: "0" });
  let asking = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let choosing;
  /** @type {string | null} */
  let net = null; // that read what is drawn
  /** @type {ImageBitmap | null} */
  let picture = null;
  /** @type {{cards: Comparison | null, "net-cards": Comparison | null}} */
  let shown = { cards: null, "net-cards": null };

  for (const [input, name] of /** @type {const} */ ([[opacity, "opacity"], [threshold, "threshold"]])) {
    input.addEventListener("input", () => {
      look[name] = input.valueAsNumber;
      show();
    });
  }

  const boxes = methods.methods.map(({ name, summary }) => {
    const box = h("input", { type: "checkbox", value: name });
    box.checked = chosen.has(name);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(name);
      else chosen.delete(name);
      offer();
      clearTimeout(choosing);
      choosing = setTimeout(() => update(digit.explanation), PAUSE);
    });
    return { box, label: h("label", { class: "check", title: summary }, box, name.replaceAll("_", " ")) };
  });

  /** The chosen methods that the net can be asked with. */
  const asked = () => [...chosen].filter(able);

  /** @param {string} method */
  const able = (method) => methods.methods.some((one) => one.name === method && (net === null || one.models.includes(net)));

  function offer() {
    const full = asked().length >= MOST;
    for (const { box } of boxes) box.disabled = !able(box.value) || (full && !box.checked);
    part("limit").textContent = full ? words().most(MOST) : "";
  }

  function translate() {
    part("methods").setAttribute("aria-label", words().methods);
    part("methods").replaceChildren(...boxes.map(({ label }) => label));
    part("scale").replaceChildren(
      h("label", {}, words().opacity, " ", opacity), h("label", {}, words().threshold, " ", threshold));
  }

  /** What was shown stays, dimmed, until there is more. @param {Explanation | null} answer */
  function update(answer) {
    asking.abort();
    asking = new AbortController();
    shown = { cards: null, "net-cards": null };
    net = answer?.model.name ?? net;
    offer();
    const waits = !digit.empty && !failed();
    for (const id of SHELVES) {
      part(id).setAttribute("aria-busy", String(waits));
      if (!waits) empty(id, digit.empty ? words().first : words().noAnswer);
      else if (part(id).querySelector(".card") === null) empty(id, words().wait);
    }
    if (answer) void ask(asking.signal);
  }

  /** @param {"cards" | "net-cards"} id @param {string} why */
  function empty(id, why) {
    part(id).replaceChildren(h("p", { class: "quiet" }, why));
    if (id === "cards") part("agreement").textContent = "";
  }

  /** @param {AbortSignal} signal */
  async function ask(signal) {
    const file = await digit.toBlob();
    if (file === null || signal.aborted) return;
    const bitmap = await createImageBitmap(file).catch(() => null); // the server reads more kinds than a browser shows
    if (signal.aborted) return;
    picture?.close();
    picture = bitmap;
    const { target, versus, lang } = question();
    await Promise.all([
      fill("cards", () => compared("methods", asked(), { model: net, target, versus, lang })),
      fill("net-cards", () => compared("models", models.models, { target, versus, lang })),
    ]);

    /** @param {"cards" | "net-cards"} id @param {() => Promise<Comparison>} compare */
    async function fill(id, compare) {
      try {
        const comparison = await patiently(compare, signal);
        if (signal.aborted) return;
        shown = { ...shown, [id]: comparison };
        show();
      } catch (error) {
        if (signal.aborted) return;
        empty(id, "");
        part(id).replaceChildren(said(error));
      }
      part(id).setAttribute("aria-busy", "false");
    }

    /** @param {"methods" | "models"} by @param {string[]} names @param {import("../element/client.js").Options} options
     *  @returns {Promise<Comparison>} */
    async function compared(by, names, options) {
      if (names.length > 1) return client.post("v1/compare", /** @type {Blob} */ (file), { [by]: names.join(","), ...options }, signal);
      const one = names.length ? { [by === "methods" ? "method" : "model"]: names[0] } : null;
      const explained = one && (await client.explain(/** @type {Blob} */ (file), { ...options, ...one }, signal));
      return { explanations: explained ? [explained] : [], agreement: { labels: [], matrix: [] } };
    }
  }

  function show() {
    if (shown.cards?.explanations.length === 0) {
      empty("cards", words().none);
    } else if (shown.cards) {
      const limits = sharedLimits(shown.cards.explanations);
      part("cards").replaceChildren(...shown.cards.explanations.map((one) => {
        const { method } = one.explanation;
        const summary = methods.methods.find(({ name }) => name === method)?.summary ?? "";
        const about = document.documentElement.lang === "en" ? [summary] : [];
        const sentences = [...certificate(one, words()), ...about, ...(one.trial ? [one.trial.summary] : [])];
        return mapCard(one, picture, limits, look, words(), classesOf(one), method.replaceAll("_", " "), sentences);
      }));
      part("agreement").replaceChildren(...agreement(shown.cards.agreement));
    }
    const nets = shown["net-cards"]?.explanations;
    if (!nets) return;
    const netLimits = sharedLimits(nets);
    part("net-cards").replaceChildren(...nets.map((one) => {
      const title = words().reads(one.model.name.toUpperCase(), one.prediction.label, percent(one.prediction.probability));
      return mapCard(one, picture, netLimits, look, words(), classesOf(one), title, []);
    }));
  }

  /** @param {Explanation} answer @returns {string[]} */
  const classesOf = ({ model }) => models.details.find(({ name }) => name === model.name)?.classes ?? [];

  /** @param {Comparison["agreement"]} agreement @returns {(Node | string)[]} */
  function agreement({ labels, matrix }) {
    const pairs = labels.flatMap((first, i) => labels.slice(i + 1).map((second, j) => {
      const share = matrix[i]?.[i + 1 + j];
      const names = `${first.replaceAll("_", " ")} – ${second.replaceAll("_", " ")}`;
      return h("span", {}, `${names}: ${typeof share === "number" ? minus(share.toFixed(2)) : "?"}`);
    }));
    return pairs.flatMap((pair, place) => [place ? words().comma : words().agreement, pair]);
  }

  return { translate, update };
}
