// @ts-check
/** The client of Inkling's HTTP API (the gateway pattern): a picture in, the API's own JSON out, or an InklingError.
 *
 * @typedef {import("./inkling-digit.d.ts").Prediction} Prediction
 * @typedef {import("./inkling-digit.d.ts").Explanation} Explanation
 * @typedef {Record<string, string | number | boolean | null | undefined>} Options
 */

export class InklingError extends Error {
  /** @param {string} message for people
   *  @param {{code: string, status?: number, retryAfter?: number | null, requestId?: string | null}} facts */
  constructor(message, { code, status = 0, retryAfter = null, requestId = null }) {
    super(message);
    this.name = "InklingError";
    /** As the API has it; "offline" where there was no answer, "unreadable" where it was not JSON, "token"
     *  where getToken failed. */
    this.code = code;
    /** Of HTTP; 0 where there was no answer. */
    this.status = status;
    /** Seconds after which it may be tried again. */
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }

  /** Plain fields, for an event's detail. */
  toJSON() {
    const { message: error, code, status, retryAfter, requestId: request_id } = this;
    return { error, code, status, retryAfter, request_id };
  }
}

export class InklingClient {
  /** @param {string | URL} endpoint the address that `v1/predict` lies below
   *  @param {() => Promise<string | null> | string | null} [token] a key for each request, or null */
  constructor(endpoint, token = () => null) {
    const base = new URL(endpoint, document.baseURI);
    if (!base.pathname.endsWith("/")) base.pathname += "/"; // else the last part would be replaced, not extended
    this.endpoint = base;
    this.token = token;
  }

  /** @param {Blob} picture @param {Options} options @param {AbortSignal} [signal] @returns {Promise<Prediction>} */
  predict(picture, options = {}, signal) {
    return this.post("v1/predict", picture, options, signal);
  }

  /** @param {Blob} picture @param {Options} options @param {AbortSignal} [signal] @returns {Promise<Explanation>} */
  explain(picture, options = {}, signal) {
    return this.post("v1/explain", picture, options, signal);
  }

  /** What is no JSON, such as a heatmap as a PNG.
   *  @param {string} path @param {Blob} picture @param {Options} options @returns {Promise<Blob>} */
  async picture(path, picture, options) {
    const response = await this.#fetch(path, options, { method: "POST", body: picture });
    return response.ok ? response.blob() : this.#json(response);
  }

  /** @param {string} path @param {Blob} picture @param {Options} options @param {AbortSignal} [signal]
   *  @returns {Promise<any>} */
  async post(path, picture, options = {}, signal) {
    return this.#json(await this.#fetch(path, options, { method: "POST", body: picture, signal: signal ?? null }));
  }

  /** @param {string} path @param {Options} options @param {AbortSignal} [signal] @returns {Promise<any>} */
  async get(path, options = {}, signal) {
    return this.#json(await this.#fetch(path, options, { signal: signal ?? null }));
  }

  /** What is no JSON. @param {string} path @param {Options} options @param {AbortSignal} [signal] @returns {Promise<Blob>} */
  async download(path, options = {}, signal) {
    const response = await this.#fetch(path, options, { signal: signal ?? null });
    return response.ok ? response.blob() : this.#json(response);
  }

  /** @param {string} path @param {Options} options */
  address(path, options = {}) {
    const address = new URL(path, this.endpoint);
    for (const [name, value] of Object.entries(options)) {
      if (value !== null && value !== undefined && value !== "") address.searchParams.set(name, String(value));
    }
    return address;
  }

  /** @param {string} path @param {Options} options @param {RequestInit} init */
  async #fetch(path, options, init) {
    const token = await this.#key();
    const headers = new Headers(token ? { Authorization: `Bearer ${token}` } : {});
    if (init.body instanceof Blob && !init.body.type) headers.set("Content-Type", "application/octet-stream");
    try {
      return await fetch(this.address(path, options), { ...init, headers });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new InklingError("There is no answer from the server.", { code: "offline" });
    }
  }

  async #key() {
    try {
      return await this.token();
    } catch (error) {
      throw new InklingError(`There is no key: ${error instanceof Error ? error.message : error}`, { code: "token" });
    }
  }

  /** @param {Response} response @returns {Promise<any>} */
  async #json(response) {
    /** @type {any} */
    let answer = null;
    try {
      answer = await response.json();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
    }
    if (response.ok && answer !== null) return answer;
    throw new InklingError(String(answer?.error ?? response.statusText ?? "The answer is not JSON."), {
      code: String(answer?.code ?? "unreadable"),
      status: response.status,
      retryAfter: seconds(response.headers.get("Retry-After")),
      requestId: answer?.request_id ?? response.headers.get("X-Request-ID"),
    });
  }
}

/** Whether it may be gone when one tries again. @param {unknown} error @returns {error is InklingError} */
export function passes(error) {
  return error instanceof InklingError && (error.status === 503 || error.status === 429 || error.code === "offline");
}

/** @param {string | null} text */
function seconds(text) {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}
