// Reads a JSON list of objects and holds each against the schema of its kind, as the definitions of Prometheus's operator
// and of the Gateway API have it.
import { text } from 'node:stream/consumers';
import * as routes from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import * as monitors from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';

const kinds = { ...routes, ...monitors };

for (const { apiVersion, kind, ...rest } of JSON.parse(await text(process.stdin))) {
  if (kinds[kind]?.apiVersion !== apiVersion) throw new Error(`nobody knows a ${kind} of ${apiVersion}`);
  new kinds[kind](rest).validate();
}
