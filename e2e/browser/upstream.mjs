// A real OpenID Connect provider (npm oidc-provider) on loopback, as a company would run one. Its pages are its own.
import { once } from 'node:events';
import http from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenIdProvider from 'oidc-provider';

const SECRET = 's3cret-of-mandate+ /%';

/** The people of the company: what it says of them. */
const PEOPLE = {
  dora: { preferred_username: 'dora', email: 'dora@acme.example', email_verified: true, groups: ['support'] },
  gus: { preferred_username: 'gus', email: 'gus@acme.example', email_verified: true, groups: ['guests'] },
};

/** A running provider. */
export class Company {
  #server;
  #folder;

  static async start() {
    const company = new Company();
    company.#server = http.createServer((request, response) => company.#callback(request, response));
    company.#server.listen(0, '127.0.0.1');
    await once(company.#server, 'listening');
    company.host = `localhost:${company.#server.address().port}`;
    company.issuer = `http://${company.host}`;
    company.#folder = await mkdtemp(path.join(tmpdir(), 'mandate-company-'));
    await writeFile(path.join(company.#folder, 'secret'), SECRET);
    return company;
  }

  /** The table that makes it known to Mandate; people of `support` are agents, and nobody else is let in. */
  get toml() {
    return `[providers.acme]
issuer = "${this.issuer}"
client_id = "mandate"
client_secret_file = "${path.join(this.#folder, 'secret')}"
title = "Acme"
contact = "the IT desk of Acme"
[providers.acme.accounts]
create = true
role_claim = "groups"
agents = ["support"]
`;
  }

  #callback = (_request, response) => response.writeHead(503).end();

  /** Lets Mandate in, now that its address is known. */
  admit(url) {
    const provider = new OpenIdProvider(this.issuer, {
      clients: [{
        client_id: 'mandate',
        client_secret: SECRET,
        redirect_uris: [`${url}/login/acme/callback`],
        post_logout_redirect_uris: [`${url}/signed-out`],
        backchannel_logout_uri: `${url}/login/acme/logout`,
        backchannel_logout_session_required: true,
      }],
      claims: { openid: ['sub', 'groups'], profile: ['preferred_username'], email: ['email', 'email_verified'] },
      features: { backchannelLogout: { enabled: true }, rpInitiatedLogout: { enabled: true } },
      findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
      cookies: { keys: ['a key of the tests'] },
      // Its own guard would keep it from telling a server on loopback that somebody signed out.
      fetch: (url, { dispatcher: _guard, ...options }) => fetch(url, options),
    });
    this.#callback = provider.callback();
  }

  async stop() {
    this.#server.closeAllConnections();
    this.#server.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Signs in on the provider's own pages, and agrees there that Mandate may know it. */
export async function signInAtCompany(page, name) {
  await page.locator('input[name="login"]').fill(name);
  await page.locator('input[name="password"]').fill('anything');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}
