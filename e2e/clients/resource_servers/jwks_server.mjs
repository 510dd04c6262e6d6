// An MCP server of somebody else on the official TypeScript SDK. Mandate issues its tokens; it checks them by the keys
// that Mandate publishes and asks nobody. Started with the issuer and its own URL; says so when it listens.
import { once } from 'node:events';
import { InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

const [issuer, url] = process.argv.slice(2);
const resourceServerUrl = new URL(url);
const oauthMetadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(oauthMetadata.jwks_uri));

const verifier = {
  async verifyAccessToken(token) {
    try {
      const { payload } = await jwtVerify(token, keys, { issuer, audience: url, typ: 'at+jwt', algorithms: ['ES256'] });
      const { client_id: clientId, scope, exp: expiresAt, aud, sub } = payload;
      return { token, clientId, scopes: scope.split(' '), expiresAt, resource: new URL(aud), extra: { sub } };
    } catch (error) {
      // That the keys are out of reach says nothing about the token.
      if (!(error instanceof errors.JOSEError) || error instanceof errors.JWKSTimeout) throw error;
      throw new InvalidTokenError(error.code);
    }
  },
};

function tools() {
  const server = new McpServer({ name: 'weather', version: '1.0.0' });
  server.registerTool('whoami', {}, async ({ authInfo }) => {
    return { content: [{ type: 'text', text: `${authInfo.extra.sub} by ${authInfo.clientId}` }] };
  });
  return server;
}

const app = createMcpExpressApp();
app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl, scopesSupported: ['weather:read'] }));
const bearer = requireBearerAuth({
  verifier,
  requiredScopes: ['weather:read'],
  resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(resourceServerUrl),
  expectedResource: url,
});
app.all('/mcp', bearer, async (request, response) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await tools().connect(transport);
  await transport.handleRequest(request, response, request.body);
});
const listening = app.listen(Number(resourceServerUrl.port), 'localhost');
await once(listening, 'listening');
console.log(url);
