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

{{- define "mandate.container" -}}
image: "{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - {name: MANDATE_LISTEN, value: "0.0.0.0:8080"}
  - {name: MANDATE_METRICS_LISTEN, value: "0.0.0.0:9090"}
  - {name: MANDATE_SECRET_KEY_FILE, value: /run/secrets/mandate/secret-key}
  - {name: MANDATE_LOG_FORMAT, value: json}
  - {name: MANDATE_PUBLIC_URL, value: {{ .Values.publicUrl | quote }}}
  - {name: MANDATE_TRUSTED_PROXIES, value: {{ join "," .Values.trustedProxies | quote }}}
  - {name: MANDATE_DRAIN_DELAY, value: {{ .Values.drainDelay | quote }}}
  - name: MANDATE_DATABASE_URL
    valueFrom: {secretKeyRef: {name: {{ .Values.secret.name }}, key: {{ .Values.secret.keys.databaseUrl }}}}
  {{- with .Values.secret.keys.redisUrl }}
  - name: MANDATE_REDIS_URL
    valueFrom: {secretKeyRef: {name: {{ $.Values.secret.name }}, key: {{ . }}}}
  {{- end }}
  {{- range $name, $value := .Values.env }}
  - {name: {{ $name }}, value: {{ $value | toString | quote }}}
  {{- end }}
  {{- with .Values.envFromReferences }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
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
