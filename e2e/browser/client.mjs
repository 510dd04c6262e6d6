// The official TypeScript SDK as a client, in both of its lines: the person's side is the browser's,
// everything between the client and the server is the SDK's own code.
import { randomUUID } from 'node:crypto';
import * as v2 from '@modelcontextprotocol/client';
import { UnauthorizedError as V1UnauthorizedError, auth as v1Auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client as V1Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as V1Stdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as V1Transport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { StdioClientTransport as V2Stdio } from '@modelcontextprotocol/client/stdio';
import { Callback } from './callback.mjs';
import { Provider } from './provider.mjs';

const ABOUT = { name: 'mandate-browser-e2e', version: '1.0.0' };

/** The SDK's current line; it finds out by itself that the server speaks the stateless revision. */
const CURRENT = {
  name: '2026-07-28',
  title: '2026-07-28',
  sdk: '@modelcontextprotocol/client',
  UnauthorizedError: v2.UnauthorizedError,
  newClient: () => new v2.Client(ABOUT, { versionNegotiation: { mode: 'auto' } }),
  newTransport: (url, options) => new v2.StreamableHTTPClientTransport(url, options),
  finish: (transport, params) => transport.finishAuth(params),
  auth: v2.auth,
  protocolVersion: (client) => client.getNegotiatedProtocolVersion(),
  newStdio: (parameters) => new V2Stdio(parameters),
  onUpdated: (client, heard) => client.setNotificationHandler('notifications/resources/updated', heard),
  subscribe: (client, uri) => client.listen({ resourceSubscriptions: [uri] }),
};

/** The same as it speaks unless it is told otherwise. */
const CAUTIOUS = {
  ...CURRENT,
  name: '2025-11-25',
  title: '2025-11-25, the current SDK',
  newClient: () => new v2.Client(ABOUT),
  subscribe: (client, uri) => client.subscribeResource({ uri }),
};

/** The SDK's first line, which opens every connection with `initialize`. */
const FIRST = {
  name: '2025-11-25',
  title: '2025-11-25, the first SDK',
  sdk: '@modelcontextprotocol/sdk',
  UnauthorizedError: V1UnauthorizedError,
  newClient: () => new V1Client(ABOUT),
  newTransport: (url, options) => new V1Transport(url, options),
  finish: (transport, params) => transport.finishAuth(params.get('code')),
  auth: v1Auth,
  protocolVersion: (_client, transport) => transport.protocolVersion,
  newStdio: (parameters) => new V1Stdio(parameters),
  onUpdated: (client, heard) => client.setNotificationHandler(ResourceUpdatedNotificationSchema, heard),
  subscribe: (client, uri) => client.subscribeResource({ uri }),
};

/** Both eras of the protocol, with each SDK that speaks them. */
export const ERAS = [CURRENT, CAUTIOUS, FIRST];

/**
 * One installed MCP client. `registration` is `{ document: DocumentHost }`, `{ known: client information }`
 * or nothing for dynamic registration.
 */
export class App extends Provider {
  #client;
  #transport;

  /** Each request to the server: method, path, status and, where there is one, the challenge. */
  wire = [];

  static async install({ era = CURRENT, mandate, registration = {}, name = 'Chromium Notebook', host }) {
    const callback = await Callback.listen(host);
    const app = new App(name, callback.url, registration.known);
    Object.assign(app, { era, mandate, callback });
    if (registration.document) {
      // One document serves every install, so it cannot know the port (RFC 8252 §7.3).
      const redirect_uris = ['http://127.0.0.1/callback', 'http://localhost/callback'];
      const metadata = { ...app.clientMetadata, redirect_uris };
      app.clientMetadataUrl = registration.document.publish(`client-${randomUUID()}`, metadata);
    }
    return app;
  }

  /** The `state` of the request the person is being sent to. */
  get pendingState() {
    return this.authorizationUrl.searchParams.get('state');
  }

  /** The scopes of the tokens held, sorted. */
  get scopes() {
    return (this.held.tokens?.scope ?? '').split(' ').filter(Boolean).sort();
  }

  /** Connects for the first time; ends with the address the person must be sent to. */
  async askForAuthorization() {
    await this.#expectUnauthorized(() => this.#open());
    return this.authorizationUrl;
  }

  /** Waits for the person to come back, redeems the code, and connects when no connection stands. */
  async finish() {
    const params = await this.callback.response(this.pendingState);
    await this.era.finish(this.#transport, params);
    if (!this.#client) await this.#open();
  }

  /** The whole first dance: `travel(url)` is the person's part. */
  async connect(travel) {
    await travel(await this.askForAuthorization());
    await this.finish();
  }

  /** The SDK's client, once it is connected. */
  get client() {
    return this.#client;
  }

  /** Calls a tool; the answer as the SDK gives it. */
  async call(name, args = {}) {
    return this.#client.callTool({ name, arguments: args });
  }

  /** The names of the tools offered. */
  async tools() {
    return (await this.#client.listTools()).tools.map((tool) => tool.name);
  }

  /** Calls a tool that needs more than was granted; ends with the address for the wider request. */
  async callBeyondGrant(name, args = {}) {
    const before = this.wire.length;
    try {
      await this.call(name, args);
    } catch (error) {
      const refusal = this.wire.slice(before).find((exchange) => exchange.status === 403);
      if (!refusal) throw error;
      await this.#widen(error, refusal.challenge);
      return refusal.challenge;
    }
    throw new Error(`${name} was not refused`);
  }

  /** The first line of the SDK refreshes on a 403 instead of asking again, so an application drops its tokens. */
  async #widen(error, challenge) {
    if (error instanceof this.era.UnauthorizedError) return;
    this.held.tokens = undefined;
    const scope = /scope="([^"]*)"/.exec(challenge)?.[1];
    await this.era.auth(this, { serverUrl: this.mandate.mcpUrl, scope });
  }

  /** Runs a call that must end in a new request for authorization. */
  async callUnauthorized(name, args = {}) {
    this.authorizationUrl = undefined;
    await this.#expectUnauthorized(() => this.call(name, args));
  }

  /** Spoils the access token, as its expiry would, and leaves the refresh token. */
  spoilAccessToken() {
    const [header, claims] = this.held.tokens.access_token.split('.');
    this.held.tokens = { ...this.held.tokens, access_token: `${header}.${claims}.AAAA` };
  }

  /** A bare call with the current access token, without the SDK's repairs. */
  async bareCall() {
    return fetch(this.mandate.mcpUrl, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.held.tokens.access_token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    });
  }

  /** The revision that client and server settled on. */
  get protocolVersion() {
    return this.era.protocolVersion(this.#client, this.#transport);
  }

  async #open() {
    const client = this.era.newClient();
    this.#transport = this.era.newTransport(new URL(this.mandate.mcpUrl), {
      authProvider: this,
      fetch: (url, init) => this.#fetch(url, init),
    });
    await client.connect(this.#transport);
    this.#client = client;
  }

  async #fetch(url, init) {
    const response = await fetch(url, init);
    this.wire.push({
      method: init?.method ?? 'GET',
      path: new URL(url).pathname,
      status: response.status,
      challenge: response.headers.get('www-authenticate'),
    });
    return response;
  }

  async #expectUnauthorized(run) {
    try {
      await run();
    } catch (error) {
      if (error instanceof this.era.UnauthorizedError && this.authorizationUrl) return;
      throw error;
    }
    throw new Error('the server asked for no authorization');
  }

  async close() {
    await this.#client?.close();
    await this.callback.close();
  }
}
