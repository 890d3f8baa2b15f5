{{- define "wasmway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes about a role's pods. Takes (list $ ROLE). */}}
{{- define "wasmway.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ $.Chart.Name }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Takes (list $ ROLE). */}}
{{- define "wasmway.labels" -}}
{{- $ := index . 0 -}}
{{ include "wasmway.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "wasmway.image" -}}
{{- $repository := required "image.repository is required: build the image from the repository's Dockerfile, push it, and name it" .Values.image.repository -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "wasmway.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "wasmway.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "wasmway.tokens" -}}
{{- .Values.tokens.existingSecret | default (printf "%s-tokens" (include "wasmway.fullname" .)) -}}
{{- end -}}

{{- define "wasmway.registryUrl" -}}
http://{{ include "wasmway.fullname" . }}-registry:8081
{{- end -}}

{{- define "wasmway.dataUrl" -}}
{{- if .Values.dataUrl -}}
{{- .Values.dataUrl -}}
{{- else if .Values.ingress.enabled -}}
http{{ if .Values.ingress.tls }}s{{ end }}://{{ first .Values.ingress.hosts | trimPrefix "*." }}
{{- else -}}
http://{{ include "wasmway.fullname" . }}-gateway.{{ .Release.Namespace }}.svc:{{ .Values.gateway.service.port }}
{{- end -}}
{{- end -}}

{{- define "wasmway.gateway.kind" -}}
{{ ternary "StatefulSet" "Deployment" .Values.gateway.persistence.enabled }}
{{- end -}}

{{/* A network policy's peers: all pods of the namespaces. Takes a list of their names. */}}
{{- define "wasmway.namespaces" -}}
- namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{ toJson . }}
{{- end -}}
