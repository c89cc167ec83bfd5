{{/* A setting as text. Helm reads a bare on or off as a boolean, and numbers as what is written 1.6e+07. */}}
{{- define "inkling.value" -}}
{{- if kindIs "bool" . -}}{{ ternary "on" "off" . }}
{{- else if kindIs "float64" . -}}{{ int64 . }}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{/* What a setting is: as given, else the server's default. Called with a list of the context, its name and that. */}}
{{- define "inkling.setting" -}}
{{- $values := (index . 0).Values -}}
{{- $name := index . 1 -}}
{{- if hasKey $values.settings $name -}}{{ include "inkling.value" (get $values.settings $name) }}
{{- else if hasKey $values.settingsFromSecrets $name -}}secret
{{- else -}}{{ index . 2 }}
{{- end -}}
{{- end -}}

{{/* How many pods there may be. */}}
{{- define "inkling.pods" -}}
{{ .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicas | int }}
{{- end -}}

{{/* How many there are at least. */}}
{{- define "inkling.fewest" -}}
{{ .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas .Values.replicas | int }}
{{- end -}}

{{/* The grace time begins when the pod has drained; five seconds more are for what gunicorn removes. */}}
{{- define "inkling.ending" -}}
{{ add (include "inkling.setting" (list . "INKLING_GRACE" 45) | int) .Values.drainSeconds 5 }}
{{- end -}}

{{/* Bytes that kept explanations take at most, twice since SQLite writes beside its file, and half a gigabyte for
     uploads. */}}
{{- define "inkling.temporary" -}}
{{- $records := include "inkling.setting" (list . "INKLING_RECORDS_BYTES" 268435456) | int64 -}}
{{ add (div (mul $records 2) 1048576) 512 }}Mi
{{- end -}}

{{- define "inkling.env" -}}
- {name: INKLING_PORT, value: "8000"}
{{- if and .Values.serviceMonitor.enabled (hasKey .Values.settings "INKLING_HOSTS") }}
- name: POD_IP # by which Prometheus asks; an IPv4 address
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- end }}
{{- with .Values.keys }}{{ if .existingSecret }}
- {name: INKLING_KEYS_FILE, value: {{ printf "/etc/inkling/keys/%s" .file | quote }}}
{{- end }}{{ end }}
{{- with .Values.trust }}{{ if .existingSecret }}
- {name: INKLING_TRUST, value: {{ printf "/etc/inkling/trust/%s" .file | quote }}}
{{- end }}{{ end }}
{{- if ne .Values.models.from "image" }}
- {name: INKLING_MODEL_STORE, value: /models}
{{- end }}
{{- if eq .Values.models.from "source" }}
- {name: INKLING_MODEL_SOURCE, value: {{ .Values.models.source | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- $text := include "inkling.value" $value }}
{{- if and (eq $name "INKLING_HOSTS") $.Values.serviceMonitor.enabled }}{{ $text = printf "%s,$(POD_IP)" $text }}{{ end }}
- {name: {{ $name }}, value: {{ $text | quote }}}
{{- end }}
{{- range $name, $from := .Values.settingsFromSecrets }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $from.name | quote }}, key: {{ $from.key | quote }}}}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
