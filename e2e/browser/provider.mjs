// What the SDK asks of an application: to keep its credentials and to send the person to an address.
import { randomUUID } from 'node:crypto';

/** The SDK's `OAuthClientProvider`, kept in memory. It opens no address, it notes it for the test's person. */
export class Provider {
  /** What the SDK gave us to keep. */
  held = {};
  /** Where the SDK last wanted to send the person. */
  authorizationUrl;

  constructor(name, redirectUrl, information) {
    this.name = name;
    this.redirectUrl = redirectUrl;
    this.held.information = information;
  }

  get clientMetadata() {
    return {
      client_name: this.name,
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    return randomUUID();
  }

  clientInformation() {
    return this.held.information;
  }

  saveClientInformation(information) {
    this.held.information = information;
  }

  tokens() {
    return this.held.tokens;
  }

  saveTokens(tokens) {
    this.held.tokens = tokens;
  }

  codeVerifier() {
    return this.held.verifier;
  }

  saveCodeVerifier(verifier) {
    this.held.verifier = verifier;
  }

  discoveryState() {
    return this.held.discovery;
  }

  saveDiscoveryState(discovery) {
    this.held.discovery = discovery;
  }

  redirectToAuthorization(url) {
    this.authorizationUrl = new URL(url);
  }

  invalidateCredentials(scope) {
    if (scope === 'all' || scope === 'tokens') this.held.tokens = undefined;
    if (scope === 'all' || scope === 'client') this.held.information = undefined;
  }
}
