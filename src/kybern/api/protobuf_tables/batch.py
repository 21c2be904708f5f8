"""Field numbers of jobs; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "CronJob": "metadata:ObjectMeta spec:CronJobSpec status:CronJobStatus",
    "CronJobSpec": "schedule! startingDeadlineSeconds:int? concurrencyPolicy suspend:bool? jobTemplate:JobTemplateSpec "
    "successfulJobsHistoryLimit:int? failedJobsHistoryLimit:int? timeZone?",
    "JobTemplateSpec": "metadata:ObjectMeta spec:JobSpec",
    "JobSpec": "parallelism:int? completions:int? activeDeadlineSeconds:int? selector:LabelSelector? "
    "manualSelector:bool? template:PodTemplateSpec backoffLimit:int? ttlSecondsAfterFinished:int? completionMode? "
    "suspend:bool? podFailurePolicy:PodFailurePolicy? backoffLimitPerIndex:int? maxFailedIndexes:int? "
    "podReplacementPolicy? managedBy? successPolicy:SuccessPolicy?",
    "PodFailurePolicy": "rules:*PodFailurePolicyRule",
    "PodFailurePolicyRule": "action! onExitCodes:PodFailurePolicyOnExitCodesRequirement? "
    "onPodConditions:*PodFailurePolicyOnPodConditionsPattern",
    "PodFailurePolicyOnExitCodesRequirement": "containerName? operator! values:*int",
    "PodFailurePolicyOnPodConditionsPattern": "type! status!",
    "SuccessPolicy": "rules:*SuccessPolicyRule",
    "SuccessPolicyRule": "succeededIndexes? succeededCount:int?",
    "CronJobStatus": "active:*ObjectReference @4 lastScheduleTime:time? lastSuccessfulTime:time?",
    "Job": "metadata:ObjectMeta spec:JobSpec status:JobStatus",
    "JobStatus": "conditions:*JobCondition startTime:time? completionTime:time? active:int succeeded:int failed:int "
    "completedIndexes uncountedTerminatedPods:UncountedTerminatedPods? ready:int? failedIndexes? terminating:int?",
    "JobCondition": "type! status! lastProbeTime:time lastTransitionTime:time reason message",
    "UncountedTerminatedPods": "succeeded:* failed:*",
}
