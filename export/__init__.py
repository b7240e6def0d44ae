"""From torch to ONNX, with parity measured before anything is written."""
