"""The trained model as ONNX files."""
