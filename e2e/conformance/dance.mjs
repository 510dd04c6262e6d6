// The person's side without a browser: signs in and allows, by the forms of the pages; and a client that gets
// a token that way, with everything the authorization server asks for.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

const PAGES = 10;

/** Somebody with cookies who follows redirects and fills in forms. */
export class Person {
  #cookies = new Map();

  constructor(origin, username, password) {
    Object.assign(this, { origin, username, password });
  }

  /** Opens a request for authorization, signs in and allows everything; ends with the address the client gets. */
  async allow(address) {
    let page = await this.#load(address);
    for (let count = 0; count < PAGES; count += 1) {
      if (page.location && !page.location.startsWith(this.origin)) return page.location;
      if (page.location) page = await this.#load(page.location);
      else page = await this.#load(...this.#filled(page));
    }
    throw new Error(`no end after ${PAGES} pages, the last one was ${page.address}`);
  }

  /** The form of a page, with what the person puts into it. */
  #filled(page) {
    const action = /<form[^>]* action="([^"]+)"/.exec(page.html)?.[1];
    assert.ok(action, `${page.address} (${page.status}) has no form:\n${page.html.slice(0, 2000)}`);
    const form = new URLSearchParams();
    for (const [input] of page.html.matchAll(/<input[^>]*>/g)) {
      const [, name] = / name="([^"]*)"/.exec(input) ?? [];
      const [, value] = / value="([^"]*)"/.exec(input) ?? [];
      const type = / type="([^"]*)"/.exec(input)?.[1];
      if (name === 'username') form.append(name, this.username);
      else if (name === 'password') form.append(name, this.password);
      else if (type === 'hidden' || type === 'checkbox') form.append(name, value);
    }
    if (page.html.includes('name="decision"')) form.append('decision', 'allow');
    return [new URL(action, page.address).href, form];
  }

  async #load(address, form) {
    const headers = { cookie: [...this.#cookies].map((pair) => pair.join('=')).join('; ') };
    if (form) Object.assign(headers, { origin: this.origin, 'sec-fetch-site': 'same-origin' });
    const response = await fetch(address, { method: form ? 'POST' : 'GET', body: form, headers, redirect: 'manual' });
    for (const cookie of response.headers.getSetCookie()) {
      const [pair] = cookie.split(';');
      this.#cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    const location = response.headers.get('location');
    const html = await response.text();
    return { address, status: response.status, html, location: location && new URL(location, address).href };
  }
}

/** Registers a public client; ends with its id. */
export async function register(origin, redirectUri) {
  const metadata = { client_name: 'Conformance suite', redirect_uris: [redirectUri], token_endpoint_auth_method: 'none' };
  const response = await fetch(`${origin}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(metadata),
  });
  const body = await response.json();
  assert.equal(response.status, 201, JSON.stringify(body));
  return body.client_id;
}

/** An access token for the MCP endpoint with every scope that it knows. */
export async function obtainToken(origin, person) {
  const redirectUri = 'http://127.0.0.1/callback';
  const clientId = await register(origin, redirectUri);
  const verifier = randomBytes(32).toString('base64url');
  const resource = await (await fetch(`${origin}/.well-known/oauth-protected-resource/mcp`)).json();
  const request = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: resource.scopes_supported.join(' '),
    state: randomBytes(16).toString('base64url'),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    resource: resource.resource,
  });
  const answer = new URL(await person.allow(`${origin}/authorize?${request}`)).searchParams;
  assert.equal(answer.get('state'), request.get('state'), `the answer was ${answer}`);
  const response = await fetch(`${origin}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: clientId,
      code: answer.get('code'),
      redirect_uri: redirectUri,
      code_verifier: verifier,
      resource: resource.resource,
    }),
  });
  const tokens = await response.json();
  assert.equal(tokens.scope, request.get('scope'), JSON.stringify({ ...tokens, access_token: undefined }));
  return tokens.access_token;
}
