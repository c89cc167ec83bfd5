"""The dialect of the Open Inference Protocol (KServe V2, Triton, MLServer): typed tensors, as JSON or as raw bytes.

Must not know pictures, formats or our own dialect. Read v2.py first.
"""
