// A web site of somebody else, with a page of the test's choosing.
import { once } from 'node:events';
import http from 'node:http';

/**
 * Serves one page. On `localhost` it is another origin of the product's own site, which cookies with SameSite=Lax
 * still travel to: the harder neighbour. On `127.0.0.1` it is another site.
 */
export class StrangeSite {
  #server;

  static async open(html, hostname) {
    const site = new StrangeSite();
    const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A strange site</title>
<link rel="icon" href="data:,"></head><body>${html}</body></html>`;
    site.#server = http.createServer((_request, response) =>
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page),
    );
    site.#server.listen(0, '127.0.0.1');
    await once(site.#server, 'listening');
    site.url = `http://${hostname}:${site.#server.address().port}/`;
    return site;
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** A form that sends these fields to `action`. */
export function form(action, fields) {
  const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
  return `<form method="post" action="${action}">${inputs.join('')}<button>Win a prize</button></form>`;
}
