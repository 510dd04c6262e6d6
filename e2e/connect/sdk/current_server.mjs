// A server of the SDK's current line: both eras, no sessions, everybody may come in.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler, fromJsonSchema } from '@modelcontextprotocol/server';

const SCHEMA = {
  type: 'object',
  properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
  required: ['region'],
};

export class CurrentServer {
  static async start(tls) {
    const server = new CurrentServer();
    server.tls = tls;
    server.handler = createMcpHandler((context) => {
      const mcp = new McpServer({ name: 'current', version: '1.0.0' });
      const said = (text) => ({ content: [{ type: 'text', text }] });
      const inputSchema = fromJsonSchema(SCHEMA);
      mcp.registerTool('where', { inputSchema }, async ({ region }) => said(`${context.era} ${region}`));
      return mcp;
    });
    await server.listen(0);
    return server;
  }

  get url() {
    return `${this.tls ? 'https' : 'http'}://localhost:${this.port}/mcp`;
  }

  /** The headers of every request. */
  seen = [];

  async listen(port) {
    const handle = toNodeHandler(this.handler);
    const serve = (request, response) => {
      this.seen.push(request.headers);
      return handle(request, response);
    };
    this.http = this.tls ? https.createServer(this.tls, serve) : http.createServer(serve);
    this.http.listen(port, 'localhost');
    await once(this.http, 'listening');
    this.port = this.http.address().port;
  }

  async restart() {
    await this.stop();
    await this.listen(this.port);
  }

  async stop() {
    this.http.close();
    this.http.closeAllConnections();
    await once(this.http, 'close');
  }
}
