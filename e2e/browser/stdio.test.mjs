// `mandate stdio` as a subprocess of the official SDKs, beside a server on the same store.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ERAS } from './client.mjs';
import { BINARY, Mandate } from './harness.mjs';

let mandate;
before(async () => (mandate = await Mandate.start()));
after(() => mandate?.stop());

for (const era of ERAS) {
  test(`${era.title}: a client reads, and is told how to write`, async () => {
    const client = await connect(era, []);
    try {
      assert.equal((await client.listTools()).tools.length, 5);
      const found = await client.callTool({ name: 'search_tickets', arguments: { query: 'printer' } });
      const { id } = found.structuredContent.tickets[0];
      const { contents } = await client.readResource({ uri: `ticket://${id}` });
      assert.equal(JSON.parse(contents[0].text).id, id);
      const draft = { title: 'Never', body: 'Opened.' };
      const write = client.callTool({ name: 'create_ticket', arguments: draft });
      await assert.rejects(write, /--scope tickets:write/);
    } finally {
      await client.close();
    }
  });

  test(`${era.title}: a client writes, hears of it, and leaves no grant behind`, async () => {
    const client = await connect(era, ['--write']);
    try {
      const draft = { title: 'No paper', body: 'None.', idempotency_key: `paper-${ERAS.indexOf(era)}` };
      const first = await client.callTool({ name: 'create_ticket', arguments: draft });
      const again = await client.callTool({ name: 'create_ticket', arguments: draft });
      assert.deepEqual(again.structuredContent, first.structuredContent);
      const { id } = first.structuredContent;
      const heard = new Promise((resolve) => era.onUpdated(client, ({ params }) => resolve(params.uri)));
      await era.subscribe(client, `ticket://${id}`);
      await client.callTool({ name: 'comment_ticket', arguments: { id, body: 'Still none.' } });
      assert.equal(await heard, `ticket://${id}`);
    } finally {
      await client.close();
    }
    const events = (await mandate.command(['audit', 'export'])).trim().split('\n').map((line) => JSON.parse(line));
    const count = (name) => events.filter(({ event }) => event === name).length;
    assert.ok(count('grant_given') > 0);
    assert.equal(count('grant_revoked'), count('grant_given'));
  });
}

async function connect(era, options) {
  const client = era.newClient();
  const args = ['stdio', '--user', 'alice', '--config', mandate.config, ...options];
  const parameters = { command: BINARY, args, env: mandate.environment, cwd: mandate.folder, stderr: 'ignore' };
  await client.connect(era.newStdio(parameters));
  return client;
}
