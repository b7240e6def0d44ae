"""Running ONNX networks: on what this machine has, best first."""
