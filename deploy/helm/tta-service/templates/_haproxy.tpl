{{- /* deploy/haproxy/haproxy.cfg with the servers of the StatefulSet, which DNS knows only while they exist. */ -}}
{{- define "tta.haproxy" -}}
{{- $name := include "tta.name" . -}}
{{- $servers := list -}}
{{- range $i := until (int .Values.autoscaling.maxReplicas) -}}
{{- $host := printf "%s-%d.%s-servers.%s.svc.%s" $name $i $name $.Release.Namespace $.Values.clusterDomain -}}
{{- $servers = append $servers (printf "    server s%d %s:50051 id %d resolvers cluster init-addr none" $i $host (add1 $i)) -}}
{{- end -}}
{{- regexReplaceAllLiteral "    server a .*\n    server b .*" (.Files.Get "haproxy.cfg") (join "\n" $servers) }}
resolvers cluster
    parse-resolv-conf
    hold valid 5s
    hold obsolete 30s
{{- end -}}
