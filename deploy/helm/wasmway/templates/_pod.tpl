{{/* What the pods of both roles have alike. Unless they say otherwise, these take (list $ ROLE VALUES TOKENS): the
     role's values, and the keys of the tokens' Secret that it may see. */}}

{{- define "wasmway.podMetadata" -}}
labels:
  {{- include "wasmway.selector" . | nindent 2 }}
{{- with (index . 2).podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Who a pod runs as. Takes $. */}}
{{- define "wasmway.identity" -}}
serviceAccountName: {{ include "wasmway.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# The user of the image.
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "wasmway.pod" -}}
{{- $role := . -}}
{{- $ := index . 0 -}}
{{- $values := index . 2 -}}
{{ include "wasmway.identity" $ }}
terminationGracePeriodSeconds: {{ add $.Values.shutdown.preStopSeconds $.Values.shutdown.drainSeconds 10 }}
{{- with $.Values.topologyKeys }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "wasmway.selector" $role | nindent 8 }}
    # The pods of an older revision are about to go, and do not count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "wasmway.container" -}}
{{- $ := index . 0 -}}
{{- $values := index . 2 -}}
image: {{ include "wasmway.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
securityContext:
  {{- include "wasmway.containerSecurity" $ | nindent 2 }}
# Alive: the process answers. An outage of the database or the registry is no reason to start it again.
startupProbe:
  httpGet: {path: /livez, port: control}
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /livez, port: control}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: control}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- with $.Values.shutdown.preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ . }}
{{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /var/lib/wasmway
  - name: tmp
    mountPath: /tmp
  - name: tokens
    mountPath: /run/wasmway
    readOnly: true
{{- end -}}

{{/* Takes nothing. */}}
{{- define "wasmway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* By the environment, where a flag goes before it: so no setting can change the arguments that the chart needs. */}}
{{- define "wasmway.settings" -}}
{{- $ := index . 0 -}}
- name: WASMWAY_DRAIN_TIMEOUT
  value: {{ $.Values.shutdown.drainSeconds }}s
{{- range $name, $value := (index . 2).settings }}
- name: WASMWAY_{{ $name | replace "-" "_" | upper }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end -}}

{{- define "wasmway.volumes" -}}
{{- $ := index . 0 -}}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
- name: tokens
  secret:
    secretName: {{ include "wasmway.tokens" $ }}
    defaultMode: 0440
    items:
      {{- range index . 3 }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}
