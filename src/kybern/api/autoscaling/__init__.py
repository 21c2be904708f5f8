"""The group autoscaling, v1 and v2: HorizontalPodAutoscaler, and the Scale kind of scale subresources."""
