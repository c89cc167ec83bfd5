{{- define "inkling.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
ports:
  - {name: http, containerPort: 8000}
env:
  {{- include "inkling.env" . | nindent 2 }}
{{- with .Values.models.credentials.existingSecret }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (add .Values.startupSeconds 1) 2 }}
livenessProbe: # seldom and patiently: to restart a busy pod only makes the others busier
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe: # the default model can predict
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- if .Values.drainSeconds }}
lifecycle: # a server that is told to stop refuses new clients, so it is told when nobody sends it any more
  preStop: {sleep: {seconds: {{ .Values.drainSeconds }}}}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: temporary, mountPath: /tmp} # uploads, kept explanations, HOME
  - {name: memory, mountPath: /dev/shm} # metrics and heartbeats of the workers
  {{- if ne .Values.models.from "image" }}
  {{- $claimed := eq .Values.models.from "claim" }}
  - name: models
    mountPath: /models
    {{- if $claimed }}
    readOnly: true
    {{- with .Values.models.subPath }}
    subPath: {{ . | quote }}
    {{- end }}
    {{- end }}
  {{- end }}
  {{- range $name := list "keys" "trust" }}
  {{- if (get $.Values $name).existingSecret }}
  - {name: {{ $name }}, mountPath: /etc/inkling/{{ $name }}, readOnly: true}
  {{- end }}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}

{{- define "inkling.volumes" -}}
- name: temporary
  emptyDir: {sizeLimit: {{ include "inkling.temporary" . }}}
- name: memory
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- if eq .Values.models.from "claim" }}
- name: models
  persistentVolumeClaim: {claimName: {{ .Values.models.claim | quote }}, readOnly: true}
{{- else if eq .Values.models.from "source" }}
- name: models
  emptyDir: {sizeLimit: {{ .Values.models.sizeLimit }}}
{{- end }}
{{- range $name := list "keys" "trust" }}
{{- with (get $.Values $name).existingSecret }}
- name: {{ $name }}
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
