"""Field numbers of pods, volumes, services, nodes and more; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "Binding": "metadata:ObjectMeta target:ObjectReference",
    "ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
    "ComponentStatus": "metadata:ObjectMeta conditions:*ComponentCondition",
    "ComponentCondition": "type! status! message error",
    "ConfigMap": "metadata:ObjectMeta data:{} binaryData:{bytes} immutable:bool?",
    "Endpoints": "metadata:ObjectMeta subsets:*EndpointSubset",
    "EndpointSubset": "addresses:*EndpointAddress notReadyAddresses:*EndpointAddress ports:*EndpointPort",
    "EndpointAddress": "ip! targetRef:ObjectReference? hostname nodeName?",
    "EndpointPort": "name port:int! protocol appProtocol?",
    "Event": "metadata:ObjectMeta involvedObject:ObjectReference reason message source:EventSource firstTimestamp:time "
    "lastTimestamp:time count:int type eventTime:microtime series:EventSeries? action related:ObjectReference? "
    "reportingComponent! reportingInstance!",
    "EventSource": "component host",
    "EventSeries": "count:int lastObservedTime:microtime",
    "LimitRange": "metadata:ObjectMeta spec:LimitRangeSpec",
    "LimitRangeSpec": "limits:*LimitRangeItem",
    "LimitRangeItem": "type! max:{quantity} min:{quantity} default:{quantity} defaultRequest:{quantity} "
    "maxLimitRequestRatio:{quantity}",
    "Namespace": "metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus",
    "NamespaceSpec": "finalizers:*",
    "NamespaceStatus": "phase conditions:*NamespaceCondition",
    "NamespaceCondition": "type! status! @4 lastTransitionTime:time reason message",
    "Node": "metadata:ObjectMeta spec:NodeSpec status:NodeStatus",
    "NodeSpec": "podCIDR externalID providerID unschedulable:bool taints:*Taint configSource:NodeConfigSource? "
    "podCIDRs:*",
    "Taint": "key! value effect! timeAdded:time?",
    "NodeConfigSource": "@2 configMap:ConfigMapNodeConfigSource?",
    "ConfigMapNodeConfigSource": "namespace! name! uid resourceVersion kubeletConfigKey!",
    "NodeStatus": "capacity:{quantity} allocatable:{quantity} phase conditions:*NodeCondition addresses:*NodeAddress "
    "daemonEndpoints:NodeDaemonEndpoints nodeInfo:NodeSystemInfo images:*ContainerImage volumesInUse:* "
    "volumesAttached:*AttachedVolume config:NodeConfigStatus? runtimeHandlers:*NodeRuntimeHandler "
    "features:NodeFeatures? declaredFeatures:*",
    "NodeCondition": "type! status! lastHeartbeatTime:time lastTransitionTime:time reason message",
    "NodeAddress": "type! address!",
    "NodeDaemonEndpoints": "kubeletEndpoint:DaemonEndpoint",
    "DaemonEndpoint": "Port:int!",
    "NodeSystemInfo": "machineID! systemUUID! bootID! kernelVersion! osImage! containerRuntimeVersion! kubeletVersion! "
    "kubeProxyVersion! operatingSystem! architecture! swap:NodeSwapStatus?",
    "NodeSwapStatus": "capacity:int?",
    "ContainerImage": "names:* sizeBytes:int",
    "AttachedVolume": "name! devicePath!",
    "NodeConfigStatus": "assigned:NodeConfigSource? active:NodeConfigSource? lastKnownGood:NodeConfigSource? error",
    "NodeRuntimeHandler": "name! features:NodeRuntimeHandlerFeatures?",
    "NodeRuntimeHandlerFeatures": "recursiveReadOnlyMounts:bool? userNamespaces:bool?",
    "NodeFeatures": "supplementalGroupsPolicy:bool?",
    "PersistentVolume": "metadata:ObjectMeta spec:PersistentVolumeSpec status:PersistentVolumeStatus",
    "PersistentVolumeSpec": "capacity:{quantity} +PersistentVolumeSource accessModes:* claimRef:ObjectReference? "
    "persistentVolumeReclaimPolicy storageClassName mountOptions:* volumeMode? nodeAffinity:VolumeNodeAffinity? "
    "volumeAttributesClassName?",
    "PersistentVolumeSource": "gcePersistentDisk:GCEPersistentDiskVolumeSource? "
    "awsElasticBlockStore:AWSElasticBlockStoreVolumeSource? hostPath:HostPathVolumeSource? "
    "glusterfs:GlusterfsPersistentVolumeSource? nfs:NFSVolumeSource? rbd:RBDPersistentVolumeSource? "
    "iscsi:ISCSIPersistentVolumeSource? cinder:CinderPersistentVolumeSource? cephfs:CephFSPersistentVolumeSource? "
    "fc:FCVolumeSource? flocker:FlockerVolumeSource? flexVolume:FlexPersistentVolumeSource? "
    "azureFile:AzureFilePersistentVolumeSource? vsphereVolume:VsphereVirtualDiskVolumeSource? "
    "quobyte:QuobyteVolumeSource? azureDisk:AzureDiskVolumeSource? "
    "photonPersistentDisk:PhotonPersistentDiskVolumeSource? portworxVolume:PortworxVolumeSource? "
    "scaleIO:ScaleIOPersistentVolumeSource? local:LocalVolumeSource? storageos:StorageOSPersistentVolumeSource? "
    "csi:CSIPersistentVolumeSource?",
    "GCEPersistentDiskVolumeSource": "pdName! fsType partition:int readOnly:bool",
    "AWSElasticBlockStoreVolumeSource": "volumeID! fsType partition:int readOnly:bool",
    "HostPathVolumeSource": "path! type?",
    "GlusterfsPersistentVolumeSource": "endpoints! path! readOnly:bool endpointsNamespace?",
    "NFSVolumeSource": "server! path! readOnly:bool",
    "RBDPersistentVolumeSource": "monitors:* image! fsType pool user keyring secretRef:SecretReference? readOnly:bool",
    "SecretReference": "name namespace",
    "ISCSIPersistentVolumeSource": "targetPortal! iqn! lun:int! iscsiInterface fsType readOnly:bool portals:* "
    "chapAuthDiscovery:bool @10 secretRef:SecretReference? chapAuthSession:bool initiatorName?",
    "CinderPersistentVolumeSource": "volumeID! fsType readOnly:bool secretRef:SecretReference?",
    "CephFSPersistentVolumeSource": "monitors:* path user secretFile secretRef:SecretReference? readOnly:bool",
    "FCVolumeSource": "targetWWNs:* lun:int? fsType readOnly:bool wwids:*",
    "FlockerVolumeSource": "datasetName datasetUUID",
    "FlexPersistentVolumeSource": "driver! fsType secretRef:SecretReference? readOnly:bool options:{}",
    "AzureFilePersistentVolumeSource": "secretName! shareName! readOnly:bool secretNamespace?",
    "VsphereVirtualDiskVolumeSource": "volumePath! fsType storagePolicyName storagePolicyID",
    "QuobyteVolumeSource": "registry! volume! readOnly:bool user group tenant",
    "AzureDiskVolumeSource": "diskName! diskURI! cachingMode? fsType? readOnly:bool? kind?",
    "PhotonPersistentDiskVolumeSource": "pdID! fsType",
    "PortworxVolumeSource": "volumeID! fsType readOnly:bool",
    "ScaleIOPersistentVolumeSource": "gateway! system! secretRef:SecretReference? sslEnabled:bool protectionDomain "
    "storagePool storageMode volumeName fsType readOnly:bool",
    "LocalVolumeSource": "path! fsType?",
    "StorageOSPersistentVolumeSource": "volumeName volumeNamespace fsType readOnly:bool secretRef:ObjectReference?",
    "CSIPersistentVolumeSource": "driver! volumeHandle! readOnly:bool fsType volumeAttributes:{} "
    "controllerPublishSecretRef:SecretReference? nodeStageSecretRef:SecretReference? "
    "nodePublishSecretRef:SecretReference? controllerExpandSecretRef:SecretReference? "
    "nodeExpandSecretRef:SecretReference?",
    "VolumeNodeAffinity": "required:NodeSelector?",
    "NodeSelector": "nodeSelectorTerms:*NodeSelectorTerm",
    "NodeSelectorTerm": "matchExpressions:*NodeSelectorRequirement matchFields:*NodeSelectorRequirement",
    "NodeSelectorRequirement": "key! operator! values:*",
    "PersistentVolumeStatus": "phase message reason lastPhaseTransitionTime:time?",
    "PersistentVolumeClaim": "metadata:ObjectMeta spec:PersistentVolumeClaimSpec status:PersistentVolumeClaimStatus",
    "PersistentVolumeClaimSpec": "accessModes:* resources:VolumeResourceRequirements volumeName "
    "selector:LabelSelector? storageClassName? volumeMode? dataSource:TypedLocalObjectReference? "
    "dataSourceRef:TypedObjectReference? volumeAttributesClassName?",
    "VolumeResourceRequirements": "limits:{quantity} requests:{quantity}",
    "TypedLocalObjectReference": "apiGroup? kind! name!",
    "TypedObjectReference": "apiGroup? kind! name! namespace?",
    "PersistentVolumeClaimStatus": "phase accessModes:* capacity:{quantity} conditions:*PersistentVolumeClaimCondition "
    "allocatedResources:{quantity} @7 allocatedResourceStatuses:{} currentVolumeAttributesClassName? "
    "modifyVolumeStatus:ModifyVolumeStatus?",
    "PersistentVolumeClaimCondition": "type! status! lastProbeTime:time lastTransitionTime:time reason message",
    "ModifyVolumeStatus": "targetVolumeAttributesClassName status!",
    "Pod": "metadata:ObjectMeta spec:PodSpec status:PodStatus",
    "PodSpec": "volumes:*Volume containers:*Container restartPolicy terminationGracePeriodSeconds:int? "
    "activeDeadlineSeconds:int? dnsPolicy nodeSelector:{} serviceAccountName serviceAccount nodeName hostNetwork:bool "
    "hostPID:bool hostIPC:bool securityContext:PodSecurityContext? imagePullSecrets:*LocalObjectReference hostname "
    "subdomain affinity:Affinity? schedulerName initContainers:*Container automountServiceAccountToken:bool? "
    "tolerations:*Toleration hostAliases:*HostAlias priorityClassName priority:int? dnsConfig:PodDNSConfig? "
    "shareProcessNamespace:bool? readinessGates:*PodReadinessGate runtimeClassName? enableServiceLinks:bool? "
    "preemptionPolicy? overhead:{quantity} topologySpreadConstraints:*TopologySpreadConstraint "
    "ephemeralContainers:*EphemeralContainer setHostnameAsFQDN:bool? os:PodOS? hostUsers:bool? "
    "schedulingGates:*PodSchedulingGate resourceClaims:*PodResourceClaim resources:ResourceRequirements? "
    "hostnameOverride? @43 schedulingGroup:PodSchedulingGroup?",
    "Volume": "name! +VolumeSource",
    "VolumeSource": "hostPath:HostPathVolumeSource? emptyDir:EmptyDirVolumeSource? "
    "gcePersistentDisk:GCEPersistentDiskVolumeSource? awsElasticBlockStore:AWSElasticBlockStoreVolumeSource? "
    "gitRepo:GitRepoVolumeSource? secret:SecretVolumeSource? nfs:NFSVolumeSource? iscsi:ISCSIVolumeSource? "
    "glusterfs:GlusterfsVolumeSource? persistentVolumeClaim:PersistentVolumeClaimVolumeSource? rbd:RBDVolumeSource? "
    "flexVolume:FlexVolumeSource? cinder:CinderVolumeSource? cephfs:CephFSVolumeSource? flocker:FlockerVolumeSource? "
    "downwardAPI:DownwardAPIVolumeSource? fc:FCVolumeSource? azureFile:AzureFileVolumeSource? "
    "configMap:ConfigMapVolumeSource? vsphereVolume:VsphereVirtualDiskVolumeSource? quobyte:QuobyteVolumeSource? "
    "azureDisk:AzureDiskVolumeSource? photonPersistentDisk:PhotonPersistentDiskVolumeSource? "
    "portworxVolume:PortworxVolumeSource? scaleIO:ScaleIOVolumeSource? projected:ProjectedVolumeSource? "
    "storageos:StorageOSVolumeSource? csi:CSIVolumeSource? ephemeral:EphemeralVolumeSource? image:ImageVolumeSource?",
    "EmptyDirVolumeSource": "medium sizeLimit:quantity?",
    "GitRepoVolumeSource": "repository! revision directory",
    "SecretVolumeSource": "secretName items:*KeyToPath defaultMode:int? optional:bool?",
    "KeyToPath": "key! path! mode:int?",
    "ISCSIVolumeSource": "targetPortal! iqn! lun:int! iscsiInterface fsType readOnly:bool portals:* "
    "chapAuthDiscovery:bool @10 secretRef:LocalObjectReference? chapAuthSession:bool initiatorName?",
    "LocalObjectReference": "name",
    "GlusterfsVolumeSource": "endpoints! path! readOnly:bool",
    "PersistentVolumeClaimVolumeSource": "claimName! readOnly:bool",
    "RBDVolumeSource": "monitors:* image! fsType pool user keyring secretRef:LocalObjectReference? readOnly:bool",
    "FlexVolumeSource": "driver! fsType secretRef:LocalObjectReference? readOnly:bool options:{}",
    "CinderVolumeSource": "volumeID! fsType readOnly:bool secretRef:LocalObjectReference?",
    "CephFSVolumeSource": "monitors:* path user secretFile secretRef:LocalObjectReference? readOnly:bool",
    "DownwardAPIVolumeSource": "items:*DownwardAPIVolumeFile defaultMode:int?",
    "DownwardAPIVolumeFile": "path! fieldRef:ObjectFieldSelector? resourceFieldRef:ResourceFieldSelector? mode:int?",
    "ObjectFieldSelector": "apiVersion fieldPath!",
    "ResourceFieldSelector": "containerName resource! divisor:quantity",
    "AzureFileVolumeSource": "secretName! shareName! readOnly:bool",
    "ConfigMapVolumeSource": "+LocalObjectReference items:*KeyToPath defaultMode:int? optional:bool?",
    "ScaleIOVolumeSource": "gateway! system! secretRef:LocalObjectReference? sslEnabled:bool protectionDomain "
    "storagePool storageMode volumeName fsType readOnly:bool",
    "ProjectedVolumeSource": "sources:*VolumeProjection defaultMode:int?",
    "VolumeProjection": "secret:SecretProjection? downwardAPI:DownwardAPIProjection? configMap:ConfigMapProjection? "
    "serviceAccountToken:ServiceAccountTokenProjection? clusterTrustBundle:ClusterTrustBundleProjection? "
    "podCertificate:PodCertificateProjection?",
    "SecretProjection": "+LocalObjectReference items:*KeyToPath @4 optional:bool?",
    "DownwardAPIProjection": "items:*DownwardAPIVolumeFile",
    "ConfigMapProjection": "+LocalObjectReference items:*KeyToPath @4 optional:bool?",
    "ServiceAccountTokenProjection": "audience expirationSeconds:int? path!",
    "ClusterTrustBundleProjection": "name? signerName? labelSelector:LabelSelector? path! optional:bool?",
    "PodCertificateProjection": "signerName keyType maxExpirationSeconds:int? credentialBundlePath keyPath "
    "certificateChainPath userAnnotations:{}",
    "StorageOSVolumeSource": "volumeName volumeNamespace fsType readOnly:bool secretRef:LocalObjectReference?",
    "CSIVolumeSource": "driver! readOnly:bool? fsType? volumeAttributes:{} nodePublishSecretRef:LocalObjectReference?",
    "EphemeralVolumeSource": "volumeClaimTemplate:PersistentVolumeClaimTemplate?",
    "PersistentVolumeClaimTemplate": "metadata:ObjectMeta spec:PersistentVolumeClaimSpec",
    "ImageVolumeSource": "reference pullPolicy",
    "Container": "name! image command:* args:* workingDir ports:*ContainerPort env:*EnvVar "
    "resources:ResourceRequirements volumeMounts:*VolumeMount livenessProbe:Probe? readinessProbe:Probe? "
    "lifecycle:Lifecycle? terminationMessagePath imagePullPolicy securityContext:SecurityContext? stdin:bool "
    "stdinOnce:bool tty:bool envFrom:*EnvFromSource terminationMessagePolicy volumeDevices:*VolumeDevice "
    "startupProbe:Probe? resizePolicy:*ContainerResizePolicy restartPolicy? restartPolicyRules:*ContainerRestartRule",
    "ContainerPort": "name hostPort:int containerPort:int! protocol hostIP",
    "EnvVar": "name! value valueFrom:EnvVarSource?",
    "EnvVarSource": "fieldRef:ObjectFieldSelector? resourceFieldRef:ResourceFieldSelector? "
    "configMapKeyRef:ConfigMapKeySelector? secretKeyRef:SecretKeySelector? fileKeyRef:FileKeySelector?",
    "ConfigMapKeySelector": "+LocalObjectReference key! optional:bool?",
    "SecretKeySelector": "+LocalObjectReference key! optional:bool?",
    "FileKeySelector": "volumeName! path! key! optional:bool?",
    "ResourceRequirements": "limits:{quantity} requests:{quantity} claims:*ResourceClaim",
    "ResourceClaim": "name! request",
    "VolumeMount": "name! readOnly:bool mountPath! subPath mountPropagation? subPathExpr recursiveReadOnly?",
    "Probe": "+ProbeHandler initialDelaySeconds:int timeoutSeconds:int periodSeconds:int successThreshold:int "
    "failureThreshold:int terminationGracePeriodSeconds:int?",
    "ProbeHandler": "exec:ExecAction? httpGet:HTTPGetAction? tcpSocket:TCPSocketAction? grpc:GRPCAction?",
    "ExecAction": "command:*",
    "HTTPGetAction": "path port:intorstring host scheme httpHeaders:*HTTPHeader",
    "HTTPHeader": "name! value!",
    "TCPSocketAction": "port:intorstring host",
    "GRPCAction": "port:int! service?",
    "Lifecycle": "postStart:LifecycleHandler? preStop:LifecycleHandler? stopSignal?",
    "LifecycleHandler": "exec:ExecAction? httpGet:HTTPGetAction? tcpSocket:TCPSocketAction? sleep:SleepAction?",
    "SleepAction": "seconds:int!",
    "SecurityContext": "capabilities:Capabilities? privileged:bool? seLinuxOptions:SELinuxOptions? runAsUser:int? "
    "runAsNonRoot:bool? readOnlyRootFilesystem:bool? allowPrivilegeEscalation:bool? runAsGroup:int? procMount? "
    "windowsOptions:WindowsSecurityContextOptions? seccompProfile:SeccompProfile? appArmorProfile:AppArmorProfile?",
    "Capabilities": "add:* drop:*",
    "SELinuxOptions": "user role type level",
    "WindowsSecurityContextOptions": "gmsaCredentialSpecName? gmsaCredentialSpec? runAsUserName? hostProcess:bool?",
    "SeccompProfile": "type! localhostProfile?",
    "AppArmorProfile": "type! localhostProfile?",
    "EnvFromSource": "prefix configMapRef:ConfigMapEnvSource? secretRef:SecretEnvSource?",
    "ConfigMapEnvSource": "+LocalObjectReference optional:bool?",
    "SecretEnvSource": "+LocalObjectReference optional:bool?",
    "VolumeDevice": "name! devicePath!",
    "ContainerResizePolicy": "resourceName! restartPolicy!",
    "ContainerRestartRule": "action exitCodes:ContainerRestartRuleOnExitCodes?",
    "ContainerRestartRuleOnExitCodes": "operator values:*int",
    "PodSecurityContext": "seLinuxOptions:SELinuxOptions? runAsUser:int? runAsNonRoot:bool? supplementalGroups:*int "
    "fsGroup:int? runAsGroup:int? sysctls:*Sysctl windowsOptions:WindowsSecurityContextOptions? fsGroupChangePolicy? "
    "seccompProfile:SeccompProfile? appArmorProfile:AppArmorProfile? supplementalGroupsPolicy? seLinuxChangePolicy?",
    "Sysctl": "name! value!",
    "Affinity": "nodeAffinity:NodeAffinity? podAffinity:PodAffinity? podAntiAffinity:PodAntiAffinity?",
    "NodeAffinity": "requiredDuringSchedulingIgnoredDuringExecution:NodeSelector? "
    "preferredDuringSchedulingIgnoredDuringExecution:*PreferredSchedulingTerm",
    "PreferredSchedulingTerm": "weight:int! preference:NodeSelectorTerm",
    "PodAffinity": "requiredDuringSchedulingIgnoredDuringExecution:*PodAffinityTerm "
    "preferredDuringSchedulingIgnoredDuringExecution:*WeightedPodAffinityTerm",
    "PodAffinityTerm": "labelSelector:LabelSelector? namespaces:* topologyKey! namespaceSelector:LabelSelector? "
    "matchLabelKeys:* mismatchLabelKeys:*",
    "WeightedPodAffinityTerm": "weight:int! podAffinityTerm:PodAffinityTerm",
    "PodAntiAffinity": "requiredDuringSchedulingIgnoredDuringExecution:*PodAffinityTerm "
    "preferredDuringSchedulingIgnoredDuringExecution:*WeightedPodAffinityTerm",
    "Toleration": "key operator value effect tolerationSeconds:int?",
    "HostAlias": "ip! hostnames:*",
    "PodDNSConfig": "nameservers:* searches:* options:*PodDNSConfigOption",
    "PodDNSConfigOption": "name value?",
    "PodReadinessGate": "conditionType!",
    "TopologySpreadConstraint": "maxSkew:int! topologyKey! whenUnsatisfiable! labelSelector:LabelSelector? "
    "minDomains:int? nodeAffinityPolicy? nodeTaintsPolicy? matchLabelKeys:*",
    "EphemeralContainer": "+EphemeralContainerCommon targetContainerName",
    "EphemeralContainerCommon": "name! image command:* args:* workingDir ports:*ContainerPort env:*EnvVar "
    "resources:ResourceRequirements volumeMounts:*VolumeMount livenessProbe:Probe? readinessProbe:Probe? "
    "lifecycle:Lifecycle? terminationMessagePath imagePullPolicy securityContext:SecurityContext? stdin:bool "
    "stdinOnce:bool tty:bool envFrom:*EnvFromSource terminationMessagePolicy volumeDevices:*VolumeDevice "
    "startupProbe:Probe? resizePolicy:*ContainerResizePolicy restartPolicy? restartPolicyRules:*ContainerRestartRule",
    "PodOS": "name!",
    "PodSchedulingGate": "name!",
    "PodResourceClaim": "name! @3 resourceClaimName? resourceClaimTemplateName?",
    "PodSchedulingGroup": "podGroupName?",
    "PodStatus": "phase conditions:*PodCondition message reason hostIP podIP startTime:time? "
    "containerStatuses:*ContainerStatus qosClass initContainerStatuses:*ContainerStatus nominatedNodeName "
    "podIPs:*PodIP ephemeralContainerStatuses:*ContainerStatus resize resourceClaimStatuses:*PodResourceClaimStatus "
    "hostIPs:*HostIP observedGeneration:int extendedResourceClaimStatus:PodExtendedResourceClaimStatus? "
    "allocatedResources:{quantity} resources:ResourceRequirements? "
    "nodeAllocatableResourceClaimStatuses:*NodeAllocatableResourceClaimStatus",
    "PodCondition": "type! status! lastProbeTime:time lastTransitionTime:time reason message observedGeneration:int",
    "ContainerStatus": "name! state:ContainerState lastState:ContainerState ready:bool! restartCount:int! image! "
    "imageID! containerID started:bool? allocatedResources:{quantity} resources:ResourceRequirements? "
    "volumeMounts:*VolumeMountStatus user:ContainerUser? allocatedResourcesStatus:*ResourceStatus stopSignal?",
    "ContainerState": "waiting:ContainerStateWaiting? running:ContainerStateRunning? "
    "terminated:ContainerStateTerminated?",
    "ContainerStateWaiting": "reason message",
    "ContainerStateRunning": "startedAt:time",
    "ContainerStateTerminated": "exitCode:int! signal:int reason message startedAt:time finishedAt:time containerID",
    "VolumeMountStatus": "name! mountPath! readOnly:bool recursiveReadOnly? volumeStatus:VolumeStatus?",
    "VolumeStatus": "image:ImageVolumeStatus?",
    "ImageVolumeStatus": "imageRef",
    "ContainerUser": "linux:LinuxContainerUser?",
    "LinuxContainerUser": "uid:int! gid:int! supplementalGroups:*int",
    "ResourceStatus": "name! resources:*ResourceHealth",
    "ResourceHealth": "resourceID! health @6 message?",
    "PodIP": "ip!",
    "PodResourceClaimStatus": "name! resourceClaimName?",
    "HostIP": "ip!",
    "PodExtendedResourceClaimStatus": "requestMappings:*ContainerExtendedResourceRequest resourceClaimName!",
    "ContainerExtendedResourceRequest": "containerName! resourceName! requestName!",
    "NodeAllocatableResourceClaimStatus": "resourceClaimName! containers:* resources:{quantity}",
    "PodTemplate": "metadata:ObjectMeta template:PodTemplateSpec",
    "PodTemplateSpec": "metadata:ObjectMeta spec:PodSpec",
    "ReplicationController": "metadata:ObjectMeta spec:ReplicationControllerSpec status:ReplicationControllerStatus",
    "ReplicationControllerSpec": "replicas:int? selector:{} template:PodTemplateSpec? minReadySeconds:int",
    "ReplicationControllerStatus": "replicas:int! fullyLabeledReplicas:int observedGeneration:int readyReplicas:int "
    "availableReplicas:int conditions:*ReplicationControllerCondition",
    "ReplicationControllerCondition": "type! status! lastTransitionTime:time reason message",
    "ResourceQuota": "metadata:ObjectMeta spec:ResourceQuotaSpec status:ResourceQuotaStatus",
    "ResourceQuotaSpec": "hard:{quantity} scopes:* scopeSelector:ScopeSelector?",
    "ScopeSelector": "matchExpressions:*ScopedResourceSelectorRequirement",
    "ScopedResourceSelectorRequirement": "scopeName! operator! values:*",
    "ResourceQuotaStatus": "hard:{quantity} used:{quantity}",
    "Secret": "metadata:ObjectMeta data:{bytes} type stringData:{} immutable:bool?",
    "Service": "metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus",
    "ServiceSpec": "ports:*ServicePort selector:{} clusterIP type externalIPs:* @7 sessionAffinity loadBalancerIP "
    "loadBalancerSourceRanges:* externalName externalTrafficPolicy healthCheckNodePort:int "
    "publishNotReadyAddresses:bool sessionAffinityConfig:SessionAffinityConfig? @17 ipFamilyPolicy? clusterIPs:* "
    "ipFamilies:* allocateLoadBalancerNodePorts:bool? loadBalancerClass? internalTrafficPolicy? trafficDistribution?",
    "ServicePort": "name protocol port:int! targetPort:intorstring nodePort:int appProtocol?",
    "SessionAffinityConfig": "clientIP:ClientIPConfig?",
    "ClientIPConfig": "timeoutSeconds:int?",
    "ServiceStatus": "loadBalancer:LoadBalancerStatus conditions:*Condition",
    "LoadBalancerStatus": "ingress:*LoadBalancerIngress",
    "LoadBalancerIngress": "ip hostname ipMode? ports:*PortStatus",
    "PortStatus": "port:int! protocol! error?",
    "ServiceAccount": "metadata:ObjectMeta secrets:*ObjectReference imagePullSecrets:*LocalObjectReference "
    "automountServiceAccountToken:bool?",
    "TopologySelectorLabelRequirement": "key! values:*",
    "TopologySelectorTerm": "matchLabelExpressions:*TopologySelectorLabelRequirement",
}
