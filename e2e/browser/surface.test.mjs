// Everything else that the official SDKs make of the server: prompts, completion, resources, being told of changes,
// and what a client learns when access is taken back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ERAS } from './client.mjs';
import { closeWorld, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';

let world;
// All scopes at the first consent: stepping up has tests of its own.
before(async () => (world = await openWorld({ toml: '[mcp]\nchallenge_scopes = "all"\n' })));
after(() => closeWorld(world));

for (const era of ERAS) {
  test(`${era.title}: prompts, completion and resources`, ...journey(() => world, async (walk) => {
    const app = await walk.install({ era });
    await app.connect(walk.grant(walk.person, 'alice'));
    const { client } = app;
    assert.equal(app.protocolVersion, era.name);

    const { prompts } = await client.listPrompts();
    assert.deepEqual(prompts.map(({ name }) => name).sort(), ['summarize_ticket', 'triage_open_tickets']);
    const { resourceTemplates } = await client.listResourceTemplates();
    assert.deepEqual(resourceTemplates.map(({ uriTemplate }) => uriTemplate), ['ticket://{id}']);
    const { resources } = await client.listResources();
    assert.ok(resources.length > 0);

    const prompt = { type: 'ref/prompt', name: 'summarize_ticket' };
    const { completion } = await client.complete({ ref: prompt, argument: { name: 'id', value: 'T-1' } });
    assert.ok(completion.values.length > 0, 'there are tickets that begin so');
    assert.ok(completion.values.every((id) => id.startsWith('T-1')), String(completion.values));
    const template = { type: 'ref/resource', uri: 'ticket://{id}' };
    const ids = await client.complete({ ref: template, argument: { name: 'id', value: 'T-2' } });
    assert.ok(ids.completion.values.every((id) => id.startsWith('T-2')), String(ids.completion.values));

    const [id] = completion.values;
    const summary = await client.getPrompt({ name: 'summarize_ticket', arguments: { id } });
    assert.ok(JSON.stringify(summary.messages).includes(id));
    const { contents } = await client.readResource({ uri: `ticket://${id}` });
    assert.equal(JSON.parse(contents[0].text).id, id);
    await assert.rejects(client.readResource({ uri: 'ticket://T-999999' }));
  }));

  test(`${era.title}: a client hears that a ticket changed`, ...journey(() => world, async (walk) => {
    const app = await walk.install({ era });
    await app.connect(walk.grant(walk.person, 'alice'));
    const created = await app.call('create_ticket', { title: 'No paper', body: 'None at all.' });
    const { id } = created.structuredContent;
    const heard = new Promise((resolve) => era.onUpdated(app.client, ({ params }) => resolve(params.uri)));
    await era.subscribe(app.client, `ticket://${id}`);
    await app.call('comment_ticket', { id, body: 'Still none.' });
    assert.equal(await heard, `ticket://${id}`);
  }));

  test(`${era.title}: a client whose access was taken back asks for it again`, ...journey(() => world, async (walk) => {
    const { page } = walk.person;
    const name = `Dropped ${ERAS.indexOf(era)}`;
    const app = await walk.install({ era, name });
    await app.connect(walk.grant(walk.person, 'alice'));
    await app.call('search_tickets', { query: 'printer' });
    await walk.person.open(new URL('/account', world.mandate.url));
    const revoke = page.getByRole('button', { name: `Revoke ${name}`, exact: true });
    await revoke.click();
    await revoke.waitFor({ state: 'detached' });

    await app.callUnauthorized('search_tickets', { query: 'printer' });
    await walk.grant(walk.person, 'alice')(app.authorizationUrl);
    await app.finish();
    const found = await app.call('search_tickets', { query: 'printer' });
    assert.ok(!found.isError, JSON.stringify(found));
  }));
}
