// @ts-check
/** Section 4: rub out what mattered, and the smallest change that turns the answer over. */

import { percent } from "../element/bars.js";
import { h } from "../element/dom.js";
import { painted } from "../element/heat.js";
import { onDemand, part, said } from "./parts.js";
import { paintGrey } from "./seen.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */
/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("../element/inkling-digit.d.ts").Stroke} Stroke */

const STEPS = 40; // of the animation
const INK = 0.2; // what is paler cannot be rubbed out to any effect

/** @param {Page} page @returns {Part} */
export function setUpChange(page) {
  const parts = [setUpErasing(page), setUpAttack(page)];
  return {
    translate: () => parts.forEach((one) => one.translate()),
    update: (answer) => parts.forEach((one) => one.update(answer)),
  };
}

/** @param {Page} page @returns {Part} */
function setUpErasing({ digit, client, words, question }) {
  const rub = h("button", { type: "button" });
  const self = h("button", { type: "button" });
  const undo = h("button", { type: "button" });
  const outcome = h("p", { "aria-live": "polite" });
  /** @type {Explanation | null} */
  let latest = null;
  /** @type {{label: string, class: number, before: number, net: string, strokes: readonly Stroke[], picture: Blob | null} | null} */
  let watched = null; // what was read when the rubbing began

  rub.addEventListener("click", async () => {
    const answer = latest;
    const file = await digit.toBlob();
    if (answer === null || file === null) return;
    try {
      const { pixels } = (await client.predict(file, { model: question().model, pixels: true })).preprocessing;
      if (!pixels || answer !== latest) return;
      watch(answer);
      digit.erase(strongest(answer, pixels));
    } catch (error) {
      outcome.replaceChildren(said(error));
    }
  });
  self.addEventListener("click", () => {
    if (latest) watch(latest);
    digit.erasing = true;
    digit.scrollIntoView({ block: "nearest" });
    digit.focus();
  });
  undo.addEventListener("click", () => digit.undo());
  digit.addEventListener("digit-prediction", () => {
    const { prediction } = digit;
    if (prediction?.model.name !== watched?.net) watched = null;
    if (watched === null || prediction === null) return;
    const after = prediction.probabilities[watched.class] ?? 0;
    outcome.textContent = after === watched.before ? "" :
      words().erased(watched.label, percent(watched.before), percent(after), prediction.prediction.label);
  });

  /** @param {Explanation} answer */
  function watch(answer) {
    const { label, class: index, probability: before } = answer.prediction;
    watched ??= { label, class: index, before, net: answer.model.name, strokes: digit.strokes, picture: digit.picture };
  }

  /** How many strokes have come to the drawing that is rubbed out; -1 where it is another one. */
  function added() {
    const same = watched !== null && digit.picture === watched.picture &&
      watched.strokes.every((stroke, place) => stroke === digit.strokes[place]);
    return same && watched ? digit.strokes.length - watched.strokes.length : -1;
  }

  return {
    translate() {
      [rub.textContent, self.textContent, undo.textContent] = [words().eraseButton, words().eraseSelf, words().undo];
      outcome.textContent = "";
      part("erasing").replaceChildren(
        h("h3", {}, words().eraseTitle), h("p", {}, words().eraseHelp), h("div", { class: "row" }, rub, self, undo), outcome);
    },
    update(answer) {
      latest = answer;
      rub.disabled = self.disabled = answer === null;
      undo.disabled = added() < 1;
      if (undo.disabled) outcome.textContent = "";
      if (added() < 0) watched = null;
      if (digit.empty) digit.erasing = false;
    },
  };
}

/** The middles of the inked cells that speak most for the target, of a map of segments one and else a fortieth of all,
 *  as points of the model's picture. @param {Explanation} answer @param {readonly (readonly number[])[]} pixels that
 *  the net saw @returns {[number, number][]} */
function strongest({ explanation }, pixels) {
  const values = painted(explanation).map((row, y) => row.map((value, x) => ((pixels[y]?.[x] ?? 0) > INK ? value : 0)));
  const ranked = values.flat().sort((one, other) => other - one);
  const least = explanation.painted === "segment_values" ? ranked[0] : ranked[Math.floor(ranked.length / 40)];
  return values.flatMap((row, y) =>
    row.flatMap((value, x) => (value >= (least ?? 0) && value > 0 ? [/** @type {[number, number]} */ ([x + 0.5, y + 0.5])] : [])));
}

/** @param {Page} page @returns {Part} */
function setUpAttack(page) {
  const { client, words, question } = page;
  const find = h("button", { type: "button" });
  const mix = h("input", { type: "range", min: "0", max: "1", step: "0.025", value: "0" });
  const outcome = h("div");
  const stop = onDemand(page, find, outcome, async (file, signal) => {
    const answer = await client.post("v1/adversarial", file, { model: question().model, method: "deepfool" }, signal);
    if (!signal.aborted) show(answer.adversarial);
  });

  /** @param {{found: boolean, pixels: number[][], change: number[][], label: string, probability: number}} attack */
  function show(attack) {
    if (!attack.found) {
      outcome.replaceChildren(h("p", {}, words().noAttack));
      return;
    }
    const canvas = h("canvas", { role: "img" });
    const caption = h("p", { "aria-live": "polite" });
    const paint = (/** @type {number} */ amount) => {
      const mixed = (/** @type {number} */ value, /** @type {number} */ x, /** @type {number} */ y) =>
        value - (1 - amount) * (attack.change[y]?.[x] ?? 0);
      paintGrey(canvas, attack.pixels.map((row, y) => row.map((value, x) => mixed(value, x, y))));
      caption.textContent = amount < 1 ? words().before : words().after(attack.label, percent(attack.probability));
      canvas.setAttribute("aria-label", caption.textContent);
      mix.value = String(amount);
    };
    let moved = false; // by hand
    mix.oninput = () => {
      moved = true;
      paint(mix.valueAsNumber);
    };
    outcome.replaceChildren(h("div", { class: "frames" }, canvas, h("div", {}, caption, h("label", {}, words().attackMix, " ", mix))));
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) paint(1);
    else animate(paint, () => canvas.isConnected && !moved);
  }

  return {
    translate() {
      find.textContent = words().attackButton;
      part("attacking").replaceChildren(
        h("h3", {}, words().attackTitle), h("p", {}, words().attackHelp), h("div", { class: "row" }, find), outcome);
    },
    update(answer) {
      find.disabled = answer === null;
      if (answer === null) {
        stop();
        outcome.replaceChildren();
      }
    },
  };
}

/** @param {(amount: number) => void} paint @param {() => boolean} goesOn */
function animate(paint, goesOn) {
  let step = 0;
  const next = () => {
    if (!goesOn()) return;
    paint(Math.min(1, step / STEPS));
    step += 1;
    if (step <= STEPS) requestAnimationFrame(next);
  };
  next();
}
