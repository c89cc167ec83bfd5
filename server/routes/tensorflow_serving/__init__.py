"""The dialects of TensorFlow Serving's REST API and of KServe V1, which share their addresses: tensors, or picture
files in base64, as JSON.

Must not know our own dialect; what the two share lies in routes/. Read endpoints.py first.
"""
