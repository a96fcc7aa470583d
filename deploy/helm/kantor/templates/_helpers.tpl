{{- define "kantor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "kantor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" -}}
{{- else if contains (include "kantor.name" .) .Release.Name -}}
{{- .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "kantor.name" .) | trunc 54 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kantor.selector" -}}
app.kubernetes.io/name: {{ include "kantor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kantor.labels" -}}
{{ include "kantor.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kantor.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "kantor.serverName" -}}
{{- default (printf "%s.%s.svc" (include "kantor.fullname" .) .Release.Namespace) .Values.tls.serverName -}}
{{- end -}}

{{- /* What asks the server whether it serves. The certificate that the pod has itself is the one to trust. */ -}}
{{- define "kantor.health" -}}
- /kantor
- health
{{- if .Values.tls.secretName }}
- --tls-ca
- /etc/kantor/tls/tls.crt
- --tls-server-name
- {{ include "kantor.serverName" . | quote }}
{{- if .Values.tls.clientCASecretName }}
- --tls-cert
- /etc/kantor/tls/tls.crt
- --tls-key
- /etc/kantor/tls/tls.key
{{- end }}
{{- end }}
- --timeout
- 2s
- --address
{{- end -}}

{{- define "kantor.check" -}}
{{- if and .Values.insecure .Values.tls.secretName -}}
{{- fail "insecure and tls.secretName are both given: want one of them" -}}
{{- end -}}
{{- if not (or .Values.insecure .Values.tls.secretName) -}}
{{- fail "pods listen for others: want tls.secretName, or insecure=true in a network that you trust" -}}
{{- end -}}
{{- if and .Values.tokens.secretName (not .Values.tls.secretName) -}}
{{- fail "tokens.secretName wants tls.secretName: tokens do not travel in plain text" -}}
{{- end -}}
{{- if and .Values.metrics.enabled (eq .Values.metrics.port .Values.server.port) -}}
{{- fail "metrics.port and server.port are the same: want two" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt .Values.autoscaling.minReplicas .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and .Values.tls.clientCASecretName (not .Values.tls.secretName) -}}
{{- fail "tls.clientCASecretName wants tls.secretName" -}}
{{- end -}}
{{- end -}}
