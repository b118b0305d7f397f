{{- define "understudy.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "understudy.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "understudy.labels" -}}
{{ include "understudy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "understudy.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* What the pods of nodes and of the migration have in common. */}}
{{- define "understudy.pod" -}}
automountServiceAccountToken: false
# The variables of a Service that is called understudy, such as UNDERSTUDY_PORT, would be taken for settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.runAsUser }}
  runAsGroup: {{ .Values.runAsUser }}
  fsGroup: {{ .Values.runAsUser }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "understudy.container" -}}
image: {{ include "understudy.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{/* A key that is missing in the Secret ends the start with its name: without the database's URL a node would
otherwise keep everything in a folder that goes with the pod. */}}
{{- define "understudy.variables" -}}
# In the volume, which is root's, a folder that the server makes, and only its user can read.
- { name: UNDERSTUDY_DATA_DIR, value: /var/lib/understudy/data }
- { name: UNDERSTUDY_LOG_FORMAT, value: json }
- { name: CREDENTIALS_DIRECTORY, value: /run/secrets/understudy }
- { name: UNDERSTUDY_SECRET_FILE, value: /run/secrets/understudy/{{ .Values.existingSecret.keys.secret }} }
- { name: UNDERSTUDY_DATABASE_URL_FILE, value: /run/secrets/understudy/{{ .Values.existingSecret.keys.databaseUrl }} }
{{- end }}

{{- define "understudy.volumes" -}}
- { name: data, emptyDir: { sizeLimit: {{ .Values.dataSizeLimit }} } }
- { name: tmp, emptyDir: { sizeLimit: 1Gi } }
- name: secrets
  secret:
    secretName: {{ required "existingSecret.name is the Secret with the server's secret and the address of PostgreSQL" .Values.existingSecret.name }}
    defaultMode: 0440
{{- end }}

{{- define "understudy.mounts" -}}
- { name: data, mountPath: /var/lib/understudy }
- { name: tmp, mountPath: /tmp }
- { name: secrets, mountPath: /run/secrets/understudy, readOnly: true }
{{- end }}

{{/* A value as TOML in one line. Not by toToml: Helm reads every number as a fraction, and 2.0 is no number of workers. */}}
{{- define "understudy.toml" -}}
{{- if kindIs "map" . -}}
{ {{ range $index, $name := keys . | sortAlpha }}{{ if $index }}, {{ end }}{{ toJson $name }} = {{ include "understudy.toml" (get $ $name) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $index, $each := . }}{{ if $index }}, {{ end }}{{ include "understudy.toml" $each }}{{ end }}]
{{- else -}}
{{ toJson . }}
{{- end }}
{{- end }}
