// The whole dance, as the official SDK and a person in Chromium do it together, in both eras of the protocol.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { scopeText } from './browser.mjs';
import { ERAS } from './client.mjs';
import { closeWorld, openWorld, versionOf } from './harness.mjs';
import { journey } from './journey.mjs';

let world;
before(async () => (world = await openWorld()));
after(() => closeWorld(world));

const WAYS = {
  'by metadata document': async () => ({ document: world.documents }),
  'dynamically': async () => ({}),
  'by hand': async () => ({ known: await registerByHand() }),
};

for (const era of ERAS) {
  for (const [way, registration] of Object.entries(WAYS)) {
    test(`${era.title}: a client registered ${way} reads, then writes`, ...journey(() => world, async (walk) => {
      const { t, person, mandate } = walk;
      t.diagnostic(`${era.sdk} ${await versionOf(era.sdk)}, Chromium ${world.browser.version}`);
      const app = await walk.install({ era, registration: await registration() });

      const url = await app.askForAuthorization();
      checkDiscovery(app, mandate, way);
      checkRequest(url, app, mandate);

      await walk.grant(person, 'alice')(url);
      const response = await app.callback.response(app.pendingState);
      assert.equal(response.get('iss'), mandate.url, 'the response names its issuer');
      await app.finish();
      assert.ok(app.scopes.includes('tickets:read') && !app.scopes.includes('tickets:write'), String(app.scopes));
      assert.equal(app.protocolVersion, era.name);

      const tools = await app.tools();
      for (const name of ['search_tickets', 'get_ticket']) assert.ok(tools.includes(name), `${name} in ${tools}`);
      const found = await app.call('search_tickets', { query: 'printer' });
      const id = firstTicket(found);
      const ticket = await app.call('get_ticket', { id });
      assert.ok(!ticket.isError && JSON.stringify(ticket.structuredContent).includes(id));

      await stepUp(walk, app);
    }));
  }

  test(`${era.title}: an expired access token is refreshed without the person`, ...journey(() => world, async (walk) => {
    const app = await walk.install({ era });
    await app.connect(walk.grant(walk.person, 'alice'));
    const { access_token, refresh_token } = app.tokens();
    app.authorizationUrl = undefined;
    app.spoilAccessToken();
    firstTicket(await app.call('search_tickets', { query: 'printer' }));
    assert.equal(app.authorizationUrl, undefined, 'nobody was sent to the browser');
    assert.notEqual(app.tokens().access_token, access_token);
    assert.notEqual(app.tokens().refresh_token, refresh_token, 'the refresh token was rotated');
    const refusal = app.wire.findLast((exchange) => exchange.status === 401);
    assert.match(refusal.challenge, /error="invalid_token"/);
  }));
}

/** Registers a confidential client on the server's own machine; the secret is shown this once. */
async function registerByHand() {
  const words = ['client', 'add', '--name', 'Chromium Notebook', '--redirect-uri', 'http://127.0.0.1/callback'];
  const printed = await world.mandate.command(words);
  const read = (name) => new RegExp(`^${name}: (\\S+)`, 'm').exec(printed)?.[1];
  const known = { client_id: read('client_id'), client_secret: read('client_secret') };
  assert.ok(known.client_id && known.client_secret, printed);
  return { ...known, issuer: world.mandate.url };
}

/** A call beyond the grant is refused with 403; the person widens the grant and the same call works. */
async function stepUp(walk, app) {
  const draft = { title: 'The lift plays the wrong song', body: 'It should play none.' };
  const challenge = await app.callBeyondGrant('create_ticket', draft);
  assert.match(challenge, /error="insufficient_scope"/);
  assert.match(challenge, /scope="[^"]*tickets:write/);
  assert.match(challenge, /resource_metadata="/);

  await walk.person.open(app.authorizationUrl);
  assert.match(await scopeText(walk.person.page, 'tickets:write'), /\bNew\b/, 'the page says what is new');
  assert.doesNotMatch(await scopeText(walk.person.page, 'tickets:read'), /\bNew\b/);
  await walk.person.decide('Allow');
  await app.finish();
  assert.ok(app.scopes.includes('tickets:read') && app.scopes.includes('tickets:write'), String(app.scopes));
  const created = await app.call('create_ticket', draft);
  assert.ok(!created.isError, JSON.stringify(created));
  assert.match(JSON.stringify(created.structuredContent), /"T-\d+"/);
}

/** The SDK started with nothing but the MCP address and found the rest from a bare 401. */
function checkDiscovery(app, mandate, way) {
  const [first] = app.wire;
  assert.deepEqual([first.method, first.path, first.status], ['POST', '/mcp', 401]);
  assert.doesNotMatch(first.challenge, /error=/, 'nothing was sent, so nothing was wrong');
  assert.match(first.challenge, /resource_metadata="[^"]+\/\.well-known\/oauth-protected-resource/);
  assert.match(first.challenge, /scope="tickets:read"/);
  const answered = (path) => app.wire.some((exchange) => exchange.path.startsWith(path) && exchange.status === 200);
  assert.ok(answered('/.well-known/oauth-protected-resource'));
  assert.ok(answered('/.well-known/oauth-authorization-server'));
  const registrations = app.wire.filter((exchange) => exchange.path === '/register').map(({ status }) => status);
  assert.deepEqual(registrations, way === 'dynamically' ? [201] : []);
  assert.equal(app.discoveryState().authorizationServerMetadata.issuer, mandate.url);
}

function checkRequest(url, app, mandate) {
  const sent = (name) => url.searchParams.get(name);
  assert.equal(url.origin + url.pathname, `${mandate.url}/authorize`);
  assert.equal(sent('code_challenge_method'), 'S256');
  assert.equal(sent('resource'), mandate.mcpUrl);
  assert.equal(sent('redirect_uri'), app.callback.url);
  if (app.clientMetadataUrl) assert.equal(sent('client_id'), app.clientMetadataUrl);
}

/** The id of the first ticket in a tool's answer. */
function firstTicket(result) {
  assert.ok(!result.isError, JSON.stringify(result));
  const id = /"(T-\d+)"/.exec(JSON.stringify(result.structuredContent))?.[1];
  assert.ok(id, `no ticket in ${JSON.stringify(result)}`);
  return id;
}
