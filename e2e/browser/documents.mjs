// A local https host for client ID metadata documents, with a certificate authority made for this run.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const openssl = (words) => promisify(execFile)('openssl', words);
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Serves `/<name>.json` documents at `https://localhost:<port>`. */
export class DocumentHost {
  #documents = new Map();
  #server;
  #folder;

  /** How often a document was asked for. */
  fetches = 0;

  static async start() {
    const host = new DocumentHost();
    host.#folder = await mkdtemp(path.join(tmpdir(), 'mandate-documents-'));
    const { caFile, keyFile, certificateFile } = await makeCertificates(host.#folder);
    host.caFile = caFile;
    const [key, cert] = await Promise.all([readFile(keyFile), readFile(certificateFile)]);
    host.#server = https.createServer({ key, cert }, (request, response) => host.#answer(request, response));
    host.#server.listen(0, '127.0.0.1');
    await once(host.#server, 'listening');
    host.host = `localhost:${host.#server.address().port}`;
    return host;
  }

  /** Publishes client metadata and returns its URL, which is the `client_id`. */
  publish(name, metadata) {
    const client_id = `https://${this.host}/${name}.json`;
    this.#documents.set(`/${name}.json`, JSON.stringify({ client_id, ...metadata }));
    return client_id;
  }

  #answer(request, response) {
    this.fetches += 1;
    const document = this.#documents.get(request.url);
    const headers = { 'content-type': 'application/json', 'cache-control': 'max-age=300' };
    response.writeHead(document ? 200 : 404, headers).end(document ?? '{}');
  }

  async stop() {
    this.#server.close();
    this.#server.closeAllConnections();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function makeCertificates(folder) {
  const file = (name) => path.join(folder, name);
  const caFile = file('ca.pem');
  await openssl([
    'req', '-x509', ...NEW_KEY, '-days', '2', '-subj', '/CN=Mandate browser test CA',
    '-addext', 'keyUsage=critical,keyCertSign', '-keyout', file('ca.key'), '-out', caFile,
  ]);
  await openssl([
    'req', '-x509', ...NEW_KEY, '-days', '2', '-subj', '/CN=localhost', '-CA', caFile, '-CAkey', file('ca.key'),
    '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'subjectAltName=DNS:localhost',
    '-addext', 'extendedKeyUsage=serverAuth', '-keyout', file('host.key'), '-out', file('host.pem'),
  ]);
  return { caFile, keyFile: file('host.key'), certificateFile: file('host.pem') };
}
