// Reads a JSON list of objects and holds each against the schema of its kind, as the operator's own definitions have it.
import { text } from 'node:stream/consumers';
import * as kinds from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';

for (const { apiVersion, kind, ...rest } of JSON.parse(await text(process.stdin))) {
  if (kinds[kind]?.apiVersion !== apiVersion) throw new Error(`the operator knows no ${kind} of ${apiVersion}`);
  new kinds[kind](rest).validate();
}
