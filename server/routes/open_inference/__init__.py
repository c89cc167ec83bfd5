"""The dialect of the Open Inference Protocol (KServe V2, Triton, MLServer): typed tensors, as JSON or as raw bytes.

Must not know our own dialect; what the two share lies in routes/. Read endpoints.py first.
"""
