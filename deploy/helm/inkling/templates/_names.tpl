{{- define "inkling.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 53 | trimSuffix "-" }}
{{- end -}}

{{- define "inkling.selector" -}}
app.kubernetes.io/name: inkling
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "inkling.labels" -}}
{{ include "inkling.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "inkling.metadata" -}}
name: {{ include "inkling.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "inkling.labels" . | nindent 2 }}
{{- end -}}
