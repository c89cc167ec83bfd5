{{/* What would start and then fail, or answer wrongly, is refused here with what to do about it. */}}
{{- define "inkling.checks" -}}
{{- include "inkling.checks.sharing" . -}}
{{- include "inkling.checks.limits" . -}}
{{- include "inkling.checks.models" . -}}
{{- include "inkling.checks.metrics" . -}}
{{- include "inkling.checks.network" . -}}
{{- range $name, $_ := .Values.settingsFromSecrets -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "%s is in settings and in settingsFromSecrets; expected one of them" $name) -}}
{{- end -}}
{{- end -}}
{{- $slots := include "inkling.setting" (list . "INKLING_EXPLAIN_SLOTS" 4) | int -}}
{{- $threads := include "inkling.setting" (list . "INKLING_THREADS" 16) | int -}}
{{- if and (ge $slots $threads) (ne (include "inkling.setting" (list . "INKLING_EXPLAIN" "on")) "off") -}}
{{- fail (printf "INKLING_EXPLAIN_SLOTS %d leaves no thread for predictions; expected fewer than INKLING_THREADS %d" $slots $threads) -}}
{{- end -}}
{{- end -}}

{{- define "inkling.checks.sharing" -}}
{{- $several := gt (include "inkling.pods" . | int) 1 -}}
{{- $keeps := and (ne (include "inkling.setting" (list . "INKLING_KEEP" "on")) "off") (ne (include "inkling.setting" (list . "INKLING_EXPLAIN" "on")) "off") -}}
{{- $shared := ne (include "inkling.setting" (list . "INKLING_STATE" "")) "" -}}
{{- if and $several $keeps (not $shared) -}}
{{- if not .Values.allowUnsharedExplanations -}}
{{- fail (printf "%s pods would keep explanations apart: GET /v1/explanations/{id} and the links of answers would be a 404 on all but one. Set settings.INKLING_STATE (or settingsFromSecrets.INKLING_STATE) to a Redis or Valkey, settings.INKLING_KEEP to off, or allowUnsharedExplanations to true" (include "inkling.pods" .)) -}}
{{- end -}}
{{- if and .Values.keys.existingSecret (eq (include "inkling.setting" (list . "INKLING_LINK_SECRET" "")) "") -}}
{{- fail "a link that one pod signs would be refused by the others: set settingsFromSecrets.INKLING_LINK_SECRET, or settings.INKLING_STATE" -}}
{{- end -}}
{{- end -}}
{{- if and $several (ne (include "inkling.setting" (list . "INKLING_JOBS" "")) "") -}}
{{- fail "a job that one pod takes is unknown to the others: have one pod where settings.INKLING_JOBS is set, or run explain-many as a Job of Kubernetes" -}}
{{- end -}}
{{- if gt (.Values.autoscaling.minReplicas | int) (.Values.autoscaling.maxReplicas | int) -}}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}

{{- define "inkling.checks.limits" -}}
{{- if ne (include "inkling.setting" (list . "INKLING_RATE_LIMIT" "")) "" -}}
{{- $memory := and (eq (include "inkling.setting" (list . "INKLING_RATE_LIMIT_STORAGE" "memory://")) "memory://") (eq (include "inkling.setting" (list . "INKLING_STATE" "")) "") -}}
{{- $counters := ne (include "inkling.setting" (list . "INKLING_WORKERS" 0)) "1" -}}
{{- if and $memory (or $counters (gt (include "inkling.pods" . | int) 1)) -}}
{{- fail "INKLING_RATE_LIMIT would be counted by each worker and pod alone: set settings.INKLING_STATE or settings.INKLING_RATE_LIMIT_STORAGE to a Redis or Valkey, or have one pod with settings.INKLING_WORKERS 1" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (eq (include "inkling.setting" (list . "INKLING_PROXIES" "")) "") -}}
{{- fail "behind an Ingress INKLING_RATE_LIMIT would take all clients without a key for one: set settings.INKLING_PROXIES to the number of proxies in front, mostly 1, or to 0 if that is meant" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "inkling.checks.models" -}}
{{- range list "claim" "source" -}}
{{- $given := get $.Values.models . -}}
{{- if and (eq . $.Values.models.from) (not $given) -}}
{{- fail (printf "models.from is %s and models.%s is empty; expected its name" . .) -}}
{{- else if and $given (ne . $.Values.models.from) -}}
{{- fail (printf "models.%s is given and models.from is %s; expected models.from: %s" . $.Values.models.from .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Who may reach whom. */}}
{{- define "inkling.checks.network" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts is empty; expected the names that the Ingress answers, such as [digits.example]" -}}
{{- end -}}
{{- $asks := or (ne (include "inkling.setting" (list . "INKLING_STATE" "")) "") (ne (include "inkling.setting" (list . "INKLING_RATE_LIMIT_STORAGE" "memory://")) "memory://") (eq .Values.models.from "source") -}}
{{- with .Values.networkPolicy -}}
{{- if and .enabled $asks (not .egress) -}}
{{- fail "networkPolicy would cut the pods off from the shared state or the object store: allow them in networkPolicy.egress" -}}
{{- end -}}
{{- if and .enabled $.Values.serviceMonitor.enabled .from (not .metricsFrom) -}}
{{- fail "networkPolicy would keep Prometheus from /metrics: name it in networkPolicy.metricsFrom" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "inkling.checks.metrics" -}}
{{- if and .Values.serviceMonitor.enabled .Values.keys.existingSecret (not .Values.serviceMonitor.authorization.existingSecret) -}}
{{- fail "with API keys /metrics needs one of scope admin: name its Secret in serviceMonitor.authorization" -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (eq .by "cpu") (not (dig "requests" "cpu" "" $.Values.resources)) -}}
{{- fail "autoscaling by cpu measures against resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- if and .enabled (eq .by "slots") (eq (include "inkling.setting" (list $ "INKLING_EXPLAIN" "on")) "off") -}}
{{- fail "autoscaling by slots counts explanations, and settings.INKLING_EXPLAIN is off; expected autoscaling.by: cpu" -}}
{{- end -}}
{{- end -}}
{{- end -}}
