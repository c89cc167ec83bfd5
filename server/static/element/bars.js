// @ts-check
/** A row for each class: its probability as a bar, and a button that asks why (a view). */

import { h } from "./dom.js";

/** @typedef {import("./words.js").Words} Words */

export class ProbabilityBars {
  root = h("div", { class: "bars", part: "bars", role: "group" });

  /** @type {{row: HTMLElement, button: HTMLButtonElement, meter: HTMLElement, fill: HTMLElement, share: HTMLElement}[]} */
  #rows = [];
  #onPick;

  /** @param {(index: number) => void} onPick called with the class whose row was chosen */
  constructor(onPick) {
    this.#onPick = onPick;
  }

  /** @param {readonly string[]} labels @param {Words} words */
  name(labels, words) {
    this.root.setAttribute("aria-label", words.probabilities);
    if (this.#rows.length !== labels.length) this.#build(labels.length);
    this.#rows.forEach(({ button, meter }, index) => {
      const label = labels[index] ?? "";
      button.textContent = label;
      button.title = words.askWhy(label);
      button.setAttribute("aria-label", words.askWhy(label));
      meter.setAttribute("aria-label", label);
    });
  }

  /** @param {readonly number[] | null} probabilities null: nothing has been answered */
  show(probabilities) {
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    this.#rows.forEach(({ row, meter, fill, share }, index) => {
      const probability = probabilities?.[index] ?? 0;
      const text = probabilities ? percent(probability) : "";
      meter.setAttribute("aria-valuenow", probability.toFixed(4));
      meter.setAttribute("aria-valuetext", text || "–");
      fill.style.setProperty("--share", String(probability));
      share.textContent = text;
      row.classList.toggle("best", index === best);
    });
  }

  /** @param {number | null} target @param {number | null} versus the class that it is set against */
  mark(target, versus) {
    this.#rows.forEach(({ row, button }, index) => {
      row.classList.toggle("target", index === target);
      row.classList.toggle("versus", index === versus);
      button.setAttribute("aria-pressed", String(index === target || index === versus));
    });
  }

  /** @param {number} count */
  #build(count) {
    this.#rows = Array.from({ length: count }, (_, index) => {
      const button = h("button", { type: "button", "aria-pressed": "false" });
      const fill = h("span", { class: "fill" });
      const meter = h("span", { role: "meter", class: "meter", "aria-valuemin": "0", "aria-valuemax": "1" }, fill);
      const share = h("span", { class: "share", "aria-hidden": "true" });
      const row = h("div", { class: "row", part: "bar" }, button, meter, share);
      row.addEventListener("click", () => this.#onPick(index));
      return { row, button, meter, fill, share };
    });
    this.root.replaceChildren(...this.#rows.map(({ row }) => row));
  }
}

/** One decimal, never rounded up to certainty. @param {number} share */
export function percent(share) {
  if (share > 0.9995) return share >= 1 ? "100 %" : "> 99.9 %";
  if (share < 0.0005) return share <= 0 ? "0 %" : "< 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}
