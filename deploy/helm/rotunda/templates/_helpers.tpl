{{- define "rotunda.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rotunda.labels" -}}
{{ include "rotunda.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The configuration file: what the chart knows, and .Values.config over it. What differs between pods comes from the environment. */}}
{{- define "rotunda.config" -}}
{{- $config := dict "region" .Values.region "admin" (dict "metrics_listen" ":9091")
      "gossip" (dict "key_file" "/etc/rotunda/keys/gossip.key")
      "tls" (dict "ca" "/etc/rotunda/keys/ca.crt")
      "tokens" (dict "signing_key" "/etc/rotunda/keys/token.key") }}
{{- if .Values.webSecret }}
{{- $_ := set $config "http" (dict "cert" "/etc/rotunda/web/tls.crt" "key" "/etc/rotunda/web/tls.key") }}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) }}
{{- end }}

{{/* The port of a listen address such as ":8081"; the second of the arguments where it is not given. */}}
{{- define "rotunda.port" -}}
{{- $address := index . 0 | default "" }}{{ ternary (index . 1) (regexFind "[0-9]+$" (toString $address)) (empty $address) }}
{{- end }}
