// A server of the SDK's first line with sessions, and the SDK's own authorization server before it.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { DemoInMemoryAuthProvider } from '@modelcontextprotocol/sdk/examples/server/demoInMemoryOAuthProvider.js';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';

const SCHEMA = { type: 'object', properties: { colour: { type: 'string' } }, required: ['colour'] };

function tools(noticed) {
  const server = new McpServer({ name: 'first', version: '1.0.0' });
  const said = (text) => ({ content: [{ type: 'text', text }] });
  server.registerTool('hello', { annotations: { readOnlyHint: true } }, async () => said('hello'));
  server.registerTool('ask', {}, async () => {
    const answer = await server.server.elicitInput({ message: 'Which colour?', requestedSchema: SCHEMA });
    return said(`${answer.action} ${answer.content?.colour}`);
  });
  server.registerTool('think', {}, async () => {
    const content = { type: 'text', text: 'Think.' };
    const answer = await server.server.createMessage({ messages: [{ role: 'user', content }], maxTokens: 10 });
    return said(answer.content.text);
  });
  server.registerTool('slow', {}, async ({ sendNotification, _meta }) => {
    const params = { progressToken: _meta.progressToken, progress: 1 };
    await sendNotification({ method: 'notifications/progress', params });
    await noticed;
    return said('done');
  });
  return server;
}

export class FirstServer {
  #provider = new DemoInMemoryAuthProvider();
  #sessions = new Map();

  static async start() {
    const server = new FirstServer();
    await server.listen(0);
    return server;
  }

  get url() {
    return `http://localhost:${this.port}/mcp`;
  }

  /** Ends the slow tool. */
  noticed = new Promise((resolve) => (this.notice = resolve));

  /** Every session that was begun. */
  begun = 0;

  async listen(port) {
    const app = createMcpExpressApp();
    this.http = app.listen(port, 'localhost');
    await once(this.http, 'listening');
    this.port = this.http.address().port;
    const issuerUrl = new URL(`http://localhost:${this.port}`);
    const [resourceServerUrl, scopesSupported] = [new URL(this.url), ['mcp:tools']];
    app.use(mcpAuthRouter({ provider: this.#provider, issuerUrl, resourceServerUrl, scopesSupported }));
    const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(resourceServerUrl);
    const bearer = requireBearerAuth({ verifier: this.#provider, requiredScopes: ['mcp:tools'], resourceMetadataUrl });
    app.all('/mcp', bearer, (request, response) => this.#serve(request, response));
  }

  async #serve(request, response) {
    let transport = this.#sessions.get(request.headers['mcp-session-id']);
    if (!transport && isInitializeRequest(request.body)) {
      this.begun += 1;
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        eventStore: new InMemoryEventStore(),
        onsessioninitialized: (id) => this.#sessions.set(id, transport),
        onsessionclosed: (id) => this.#sessions.delete(id),
      });
      await tools(this.noticed).connect(transport);
    }
    if (!transport) {
      // As the SDK's own examples answer.
      const error = { code: -32000, message: 'Bad Request: No valid session ID provided' };
      return response.status(400).json({ jsonrpc: '2.0', error, id: null });
    }
    await transport.handleRequest(request, response, request.body);
  }

  /** How many sessions there are. */
  get sessions() {
    return this.#sessions.size;
  }

  /** Tells every client that the tools have changed, on the stream that it opened for that. */
  async announce() {
    const message = { jsonrpc: '2.0', method: 'notifications/tools/list_changed' };
    await Promise.all([...this.#sessions.values()].map((transport) => transport.send(message)));
  }

  /** Comes back on its port with nothing but the tokens. */
  async restart() {
    await this.stop();
    this.#sessions.clear();
    await this.listen(this.port);
  }

  async stop() {
    this.http.close();
    this.http.closeAllConnections();
    await once(this.http, 'close');
  }
}
