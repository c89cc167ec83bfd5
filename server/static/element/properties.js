// @ts-check
/** Properties of a custom element as frameworks set them: those that are attributes, and those that were set too early. */

const REFLECTED = /** @type {const} */ (["endpoint", "model", "methods", "versus", "name"]);
const SETTABLE = [...REFLECTED, "live", "key", "getToken", "strokes", "erasing"];

/** Give a class the properties that are attributes of the same name; null where there is none. @param {HTMLElement} prototype */
export function reflect(prototype) {
  for (const name of REFLECTED) {
    Object.defineProperty(prototype, name, {
      configurable: true,
      enumerable: true,
      /** @this {HTMLElement} */
      get() {
        return this.getAttribute(name);
      },
      /** @this {HTMLElement} @param {unknown} value */
      set(value) {
        if (value === null || value === undefined) this.removeAttribute(name);
        else this.setAttribute(name, String(value));
      },
    });
  }
}

/** Take off an element what was set before its class came, and would hide the class's own properties.
 *  @param {any} element @returns {Record<string, unknown>} to be set again */
export function taken(element) {
  const early = SETTABLE.filter((name) => Object.hasOwn(element, name)).map((name) => [name, element[name]]);
  for (const [name] of early) delete element[name];
  return Object.fromEntries(early);
}
