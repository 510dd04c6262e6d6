// The loopback address at which a native client waits for the authorization response (RFC 8252 §7.3).
import { once } from 'node:events';
import http from 'node:http';

const WAIT_LIMIT_MS = 15_000;
const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Back at the client</title>
<link rel="icon" href="data:,"></head><body><h1>Back at the client</h1></body></html>`;

/** Receives authorization responses, told apart by their `state`. */
export class Callback {
  #arrived = new Map();
  #waiting = new Map();
  #server;

  static async listen(hostname = '127.0.0.1') {
    const callback = new Callback();
    callback.#server = http.createServer((request, response) => callback.#receive(request, response));
    callback.#server.listen(0, '127.0.0.1');
    await once(callback.#server, 'listening');
    callback.url = `http://${hostname}:${callback.#server.address().port}/callback`;
    return callback;
  }

  #receive(request, response) {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE);
    const params = new URL(request.url, this.url).searchParams;
    const state = params.get('state');
    this.#arrived.set(state, [...this.all(state), params]);
    this.#waiting.get(state)?.(params);
  }

  /** Every response that came with this `state`. */
  all(state) {
    return this.#arrived.get(state) ?? [];
  }

  /** The first response with this `state`; waits for it. */
  async response(state) {
    const [first] = this.all(state);
    if (first) return first;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('the browser never came back to the client')), WAIT_LIMIT_MS);
      this.#waiting.set(state, (params) => (clearTimeout(late), resolve(params)));
    });
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
