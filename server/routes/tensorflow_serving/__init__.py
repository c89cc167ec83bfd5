"""The dialects of TensorFlow Serving's REST API and of KServe V1, which share their addresses: tensors in JSON.

Must not know pictures, formats or our own dialect. Read v1.py first.
"""
