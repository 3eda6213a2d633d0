"""The trained model as ONNX files, compared with the model before they are kept."""

from helpers.export.onnx_export import main

if __name__ == "__main__":
    raise SystemExit(main())
