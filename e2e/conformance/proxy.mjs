// Stands before the server as a reverse proxy does, and adds the token that the suite has no option for. All else
// passes as it is: Host, Origin, streams, and the end of a connection in either direction.
import { once } from 'node:events';
import http from 'node:http';

/** A proxy on its own port of 127.0.0.1; `lead(port)` says where to, and `token` is added once it is known. */
export class Proxy {
  #server;
  token;

  static async listen() {
    const proxy = new Proxy();
    proxy.#server = http.createServer((request, response) => proxy.#pass(request, response)).listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.origin = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Where requests are sent on to. */
  lead(port) {
    this.port = port;
  }

  #pass(request, response) {
    const headers = { ...request.headers };
    if (this.token && request.url.startsWith('/mcp')) headers.authorization ??= `Bearer ${this.token}`;
    const { method, url: path } = request;
    const onward = http.request({ host: '127.0.0.1', port: this.port, method, path, headers, setHost: false });
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
