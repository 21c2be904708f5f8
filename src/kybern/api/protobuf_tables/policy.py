"""Field numbers of disruption budgets and evictions; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "Eviction": "metadata:ObjectMeta deleteOptions:DeleteOptions?",
    "PodDisruptionBudget": "metadata:ObjectMeta spec:PodDisruptionBudgetSpec status:PodDisruptionBudgetStatus",
    "PodDisruptionBudgetSpec": "minAvailable:intorstring? selector:LabelSelector? maxUnavailable:intorstring? "
    "unhealthyPodEvictionPolicy?",
    "PodDisruptionBudgetStatus": "observedGeneration:int disruptedPods:{time} disruptionsAllowed:int! "
    "currentHealthy:int! desiredHealthy:int! expectedPods:int! conditions:*Condition",
}
