"""What is said over HTTP? Routes parse requests and encode answers; what happens between belongs to inference/.

Each dialect has a package (inkling/, tensorflow_serving/, open_inference/), and so has what stands before all routes
(middleware/); beside them lies what they share. Must not know how a model computes, or where its files lie. Read
inkling/predict.py and inkling/explain.py first.
"""
