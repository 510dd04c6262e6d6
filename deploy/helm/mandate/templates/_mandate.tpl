{{/* What the server and the migration have in common. */}}

{{- define "mandate.name" -}}
{{ .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name)) | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "mandate.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mandate.labels" -}}
{{ include "mandate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Of a component's pods. What selects them stays as it is. */}}
{{- define "mandate.podMetadata" -}}
{{- $own := include "mandate.labels" .root | fromYaml | merge (dict "app.kubernetes.io/component" .component) }}
{{- with .root.Values }}
{{- $podLabels := .podLabels | default dict }}
{{- range $name, $_ := $podLabels }}
{{- if hasKey $own $name }}
{{- fail (printf "podLabels: the chart sets %s itself" $name) }}
{{- end }}
{{- end }}
labels: {{ merge $own $podLabels | toYaml | nindent 2 }}
{{- with .podAnnotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "mandate.pod" -}}
automountServiceAccountToken: false
# Its variables would begin with MANDATE_ too, and unknown keys end the start.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secret-key
    secret:
      secretName: {{ .Values.secret.name }}
      defaultMode: 0440
      items: [{key: {{ .Values.secret.keys.secretKey }}, path: secret-key}]
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Every variable once: with one twice, which of them counts would be a matter of luck. */}}
{{- define "mandate.variables" -}}
{{- if not .Values.publicUrl }}
{{- fail "publicUrl: name the address that clients and browsers reach, such as https://tickets.acme.example: it is the issuer, and changing it later ends every connection" }}
{{- end }}
{{- if kindIs "invalid" .Values.trustedProxies }}
{{- fail "trustedProxies: name the networks of your proxies, such as [10.244.0.0/16], whose X-Forwarded-For is believed; or write [] where nobody stands between clients and pods" }}
{{- end }}
{{- $own := dict
    "MANDATE_LISTEN" "0.0.0.0:8080"
    "MANDATE_METRICS_LISTEN" "0.0.0.0:9090"
    "MANDATE_SECRET_KEY_FILE" "/run/secrets/mandate/secret-key"
    "MANDATE_PUBLIC_URL" .Values.publicUrl
    "MANDATE_DRAIN_DELAY" (printf "%ds" (int .Values.drainDelaySeconds))
    "MANDATE_DATABASE_CONNECTIONS" (toString .Values.databaseConnections) }}
{{- with .Values.trustedProxies }}
{{- $_ := set $own "MANDATE_TRUSTED_PROXIES" (join "," .) }}
{{- end }}
{{- $secret := dict
    "MANDATE_DATABASE_URL" .Values.secret.keys.databaseUrl
    "MANDATE_REDIS_URL" .Values.secret.keys.redisUrl }}
{{- $taken := concat (keys $own) (keys $secret) (list "MANDATE_TRUSTED_PROXIES") }}
{{- range $name, $_ := .Values.env }}
{{- if has $name $taken }}
{{- fail (printf "env: the chart sets %s from a value of its own" $name) }}
{{- end }}
{{- end }}
{{- $given := merge (dict) .Values.env (dict "MANDATE_LOG_FORMAT" "json") }}
{{- $taken = concat $taken (keys $given) }}
{{- range .Values.envFromReferences }}
{{- if has .name $taken }}
{{- fail (printf "envFromReferences: %s is set already" .name) }}
{{- end }}
{{- $taken = append $taken .name }}
{{- end }}
{{- range $name, $value := merge $own $given }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- range $name, $key := $secret }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.secret.name }}, key: {{ $key }}}}
{{- end }}
{{- with .Values.envFromReferences }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mandate.container" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository: name where your image lies, such as registry.acme.example/mandate: deploy/image.sh and deploy/Dockerfile make one" }}
{{- end }}
image: "{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
env: {{ include "mandate.variables" . | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{ toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: secret-key, mountPath: /run/secrets/mandate, readOnly: true}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
