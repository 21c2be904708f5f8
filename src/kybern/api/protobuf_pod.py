"""Field numbers of a pod and all that it holds; protobuf_fields.py says how to read them."""

from __future__ import annotations

_LOCAL = "+LocalObjectReference"

POD_MESSAGES: dict[str, str] = {
    "Pod": "metadata:ObjectMeta spec:PodSpec status:PodStatus",
    "PodStatus": "phase conditions:*PodCondition message reason hostIP podIP startTime:time "
    "containerStatuses:*ContainerStatus qosClass initContainerStatuses:*ContainerStatus nominatedNodeName "
    "podIPs:*PodIP ephemeralContainerStatuses:*ContainerStatus resize resourceClaimStatuses:*PodResourceClaimStatus "
    "hostIPs:*PodIP observedGeneration:int",
    "PodCondition": "type status lastProbeTime:time lastTransitionTime:time reason message observedGeneration:int",
    "PodIP": "ip",
    "PodResourceClaimStatus": "name resourceClaimName",
    "ContainerStatus": "name state:ContainerState lastState:ContainerState ready:bool restartCount:int image imageID "
    "containerID started:bool? allocatedResources:{quantity} resources:ResourceRequirements "
    "volumeMounts:*VolumeMountStatus user:ContainerUser @15 stopSignal",
    "ContainerState": "waiting:ContainerStateWaiting running:ContainerStateRunning terminated:ContainerStateTerminated",
    "ContainerStateWaiting": "reason message",
    "ContainerStateRunning": "startedAt:time",
    "ContainerStateTerminated": "exitCode:int? signal:int reason message startedAt:time finishedAt:time containerID",
    "VolumeMountStatus": "name mountPath readOnly:bool recursiveReadOnly",
    "ContainerUser": "linux:LinuxContainerUser",
    "LinuxContainerUser": "uid:int? gid:int? supplementalGroups:*int?",
    "PodTemplateSpec": "metadata:ObjectMeta spec:PodSpec",
    "PodSpec": "volumes:*Volume containers:*Container restartPolicy terminationGracePeriodSeconds:int? "
    "activeDeadlineSeconds:int? dnsPolicy nodeSelector:{} serviceAccountName serviceAccount nodeName hostNetwork:bool "
    "hostPID:bool hostIPC:bool securityContext:PodSecurityContext imagePullSecrets:*LocalObjectReference hostname "
    "subdomain affinity:Affinity schedulerName initContainers:*Container automountServiceAccountToken:bool? "
    "tolerations:*Toleration hostAliases:*HostAlias priorityClassName priority:int? dnsConfig:PodDNSConfig "
    "shareProcessNamespace:bool? readinessGates:*PodReadinessGate runtimeClassName enableServiceLinks:bool? "
    "preemptionPolicy overhead:{quantity} topologySpreadConstraints:*TopologySpreadConstraint "
    "ephemeralContainers:*EphemeralContainer setHostnameAsFQDN:bool? os:PodOS hostUsers:bool? "
    "schedulingGates:*PodSchedulingGate resourceClaims:*PodResourceClaim resources:ResourceRequirements "
    "hostnameOverride",
    "PodOS": "name",
    "PodSchedulingGate": "name",
    "PodReadinessGate": "conditionType",
    "PodResourceClaim": "name @3 resourceClaimName resourceClaimTemplateName",
    "HostAlias": "ip hostnames:*",
    "PodDNSConfig": "nameservers:* searches:* options:*PodDNSConfigOption",
    "PodDNSConfigOption": "name value",
    "Toleration": "key operator value effect tolerationSeconds:int?",
    "TopologySpreadConstraint": "maxSkew:int topologyKey whenUnsatisfiable labelSelector:LabelSelector minDomains:int? "
    "nodeAffinityPolicy nodeTaintsPolicy matchLabelKeys:*",
    # containers
    "Container": "name image command:* args:* workingDir ports:*ContainerPort env:*EnvVar "
    "resources:ResourceRequirements volumeMounts:*VolumeMount livenessProbe:Probe readinessProbe:Probe "
    "lifecycle:Lifecycle terminationMessagePath imagePullPolicy securityContext:SecurityContext stdin:bool "
    "stdinOnce:bool tty:bool envFrom:*EnvFromSource terminationMessagePolicy volumeDevices:*VolumeDevice "
    "startupProbe:Probe resizePolicy:*ContainerResizePolicy restartPolicy restartPolicyRules:*ContainerRestartRule",
    "EphemeralContainer": "+Container targetContainerName",
    "ContainerPort": "name hostPort:int containerPort:int protocol hostIP",
    "ContainerResizePolicy": "resourceName restartPolicy",
    "ContainerRestartRule": "action exitCodes:ContainerRestartRuleOnExitCodes",
    "ContainerRestartRuleOnExitCodes": "operator values:*int?",
    "EnvVar": "name value valueFrom:EnvVarSource",
    "EnvVarSource": "fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector "
    "configMapKeyRef:KeySelector secretKeyRef:KeySelector fileKeyRef:FileKeySelector",
    "ObjectFieldSelector": "apiVersion fieldPath",
    "ResourceFieldSelector": "containerName resource divisor:quantity",
    "KeySelector": f"{_LOCAL} key optional:bool?",
    "FileKeySelector": "volumeName path key optional:bool?",
    "EnvFromSource": "prefix configMapRef:EnvSource secretRef:EnvSource",
    "EnvSource": f"{_LOCAL} optional:bool?",
    "ResourceRequirements": "limits:{quantity} requests:{quantity} claims:*ResourceClaim",
    "ResourceClaim": "name request",
    "VolumeMount": "name readOnly:bool mountPath subPath mountPropagation subPathExpr recursiveReadOnly",
    "VolumeDevice": "name devicePath",
    "Probe": "+ProbeHandler initialDelaySeconds:int timeoutSeconds:int periodSeconds:int successThreshold:int "
    "failureThreshold:int terminationGracePeriodSeconds:int?",
    "ProbeHandler": "exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction grpc:GRPCAction",
    "Lifecycle": "postStart:LifecycleHandler preStop:LifecycleHandler stopSignal",
    "LifecycleHandler": "exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction sleep:SleepAction",
    "ExecAction": "command:*",
    "HTTPGetAction": "path port:intorstring host scheme httpHeaders:*HTTPHeader",
    "HTTPHeader": "name value",
    "TCPSocketAction": "port:intorstring host",
    "GRPCAction": "port:int service",
    "SleepAction": "seconds:int?",
    # security
    "SecurityContext": "capabilities:Capabilities privileged:bool? seLinuxOptions:SELinuxOptions runAsUser:int? "
    "runAsNonRoot:bool? readOnlyRootFilesystem:bool? allowPrivilegeEscalation:bool? runAsGroup:int? procMount "
    "windowsOptions:WindowsSecurityContextOptions seccompProfile:SecurityProfile appArmorProfile:SecurityProfile",
    "Capabilities": "add:* drop:*",
    "SELinuxOptions": "user role type level",
    "SecurityProfile": "type localhostProfile",
    "WindowsSecurityContextOptions": "gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess:bool?",
    "PodSecurityContext": "seLinuxOptions:SELinuxOptions runAsUser:int? runAsNonRoot:bool? supplementalGroups:*int? "
    "fsGroup:int? runAsGroup:int? sysctls:*Sysctl windowsOptions:WindowsSecurityContextOptions fsGroupChangePolicy "
    "seccompProfile:SecurityProfile appArmorProfile:SecurityProfile supplementalGroupsPolicy seLinuxChangePolicy",
    "Sysctl": "name value",
    # affinity
    "Affinity": "nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAffinity",
    "NodeAffinity": "requiredDuringSchedulingIgnoredDuringExecution:NodeSelector "
    "preferredDuringSchedulingIgnoredDuringExecution:*PreferredSchedulingTerm",
    "NodeSelector": "nodeSelectorTerms:*NodeSelectorTerm",
    "NodeSelectorTerm": "matchExpressions:*LabelSelectorRequirement matchFields:*LabelSelectorRequirement",
    "PreferredSchedulingTerm": "weight:int preference:NodeSelectorTerm",
    "PodAffinity": "requiredDuringSchedulingIgnoredDuringExecution:*PodAffinityTerm "
    "preferredDuringSchedulingIgnoredDuringExecution:*WeightedPodAffinityTerm",
    "WeightedPodAffinityTerm": "weight:int podAffinityTerm:PodAffinityTerm",
    "PodAffinityTerm": "labelSelector:LabelSelector namespaces:* topologyKey namespaceSelector:LabelSelector "
    "matchLabelKeys:* mismatchLabelKeys:*",
    # volumes; kinds of volumes that are not here are taken as JSON only
    "Volume": "name +VolumeSource",
    "VolumeSource": "hostPath:HostPathVolumeSource emptyDir:EmptyDirVolumeSource @5 gitRepo:GitRepoVolumeSource "
    "secret:SecretVolumeSource nfs:NFSVolumeSource iscsi:ISCSIVolumeSource @10 "
    "persistentVolumeClaim:PersistentVolumeClaimVolumeSource @12 flexVolume:FlexVolumeSource @16 "
    "downwardAPI:DownwardAPIVolumeSource fc:FCVolumeSource @19 configMap:ConfigMapVolumeSource @26 "
    "projected:ProjectedVolumeSource @28 csi:CSIVolumeSource ephemeral:EphemeralVolumeSource "
    "image:ImageVolumeSource",
    "HostPathVolumeSource": "path type",
    "EmptyDirVolumeSource": "medium sizeLimit:quantity",
    "SecretVolumeSource": "secretName items:*KeyToPath defaultMode:int? optional:bool?",
    "NFSVolumeSource": "server path readOnly:bool",
    "PersistentVolumeClaimVolumeSource": "claimName readOnly:bool",
    "ConfigMapVolumeSource": f"{_LOCAL} items:*KeyToPath defaultMode:int? optional:bool?",
    "KeyToPath": "key path mode:int?",
    "DownwardAPIVolumeSource": "items:*DownwardAPIVolumeFile defaultMode:int?",
    "DownwardAPIVolumeFile": "path fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector mode:int?",
    "ProjectedVolumeSource": "sources:*VolumeProjection defaultMode:int?",
    "VolumeProjection": "secret:ObjectProjection downwardAPI:DownwardAPIProjection configMap:ObjectProjection "
    "serviceAccountToken:ServiceAccountTokenProjection clusterTrustBundle:ClusterTrustBundleProjection "
    "podCertificate:PodCertificateProjection",
    "ObjectProjection": f"{_LOCAL} items:*KeyToPath @4 optional:bool?",
    "DownwardAPIProjection": "items:*DownwardAPIVolumeFile",
    "ServiceAccountTokenProjection": "audience expirationSeconds:int? path",
    "ClusterTrustBundleProjection": "name signerName labelSelector:LabelSelector path optional:bool?",
    "PodCertificateProjection": "signerName keyType maxExpirationSeconds:int? credentialBundlePath keyPath "
    "certificateChainPath userAnnotations:{}",
    "CSIVolumeSource": "driver readOnly:bool? fsType volumeAttributes:{} nodePublishSecretRef:LocalObjectReference",
    "EphemeralVolumeSource": "volumeClaimTemplate:PersistentVolumeClaimTemplate",
    "PersistentVolumeClaimTemplate": "metadata:ObjectMeta spec:PersistentVolumeClaimSpec",
    "ImageVolumeSource": "reference pullPolicy",
}
