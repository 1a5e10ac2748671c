{{- define "tta.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tta.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tta.labels" -}}
{{ include "tta.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tta.secret" -}}
{{- .Values.sessions.existingSecret | default (printf "%s-sessions" (include "tta.name" .)) -}}
{{- end -}}

{{- define "tta.access" -}}
{{- required "access.existingSecret: a Secret with keys.json and metrics-token (or access.insecure=true)" .Values.access.existingSecret -}}
{{- end -}}

{{- define "tta.tls" -}}
{{- required "tls.existingSecret: a Secret with tls.crt, tls.key and ca.crt (or access.insecure=true)" .Values.tls.existingSecret -}}
{{- end -}}

{{- /* /healthz, which asks for no key: the gRPC probe speaks no TLS. */ -}}
{{- define "tta.healthz" -}}
httpGet: {path: /healthz, port: metrics, scheme: {{ ternary "HTTP" "HTTPS" .Values.access.insecure }}}
{{- end -}}

{{- /* A container that may write nothing but its mounts. */ -}}
{{- define "tta.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* What a scaler scales. */ -}}
{{- define "tta.scaled" -}}
apiVersion: apps/v1
kind: StatefulSet
name: {{ include "tta.name" . }}
{{- end -}}

{{- /* How fast it does. */ -}}
{{- define "tta.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 30
scaleDown: # each server that leaves moves its sessions
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 120}
{{- end -}}

{{- /* Over zones and nodes, as evenly as there is room. */ -}}
{{- define "tta.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "tta.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}
