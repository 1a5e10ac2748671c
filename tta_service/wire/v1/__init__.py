"""Generated from protos/tta/v1/tta.proto by protos/generate.py; not edited."""
