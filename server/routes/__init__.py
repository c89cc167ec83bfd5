"""The HTTP endpoints: parse requests and encode answers; what happens in between belongs to inference/.

Each dialect has a package (inkling/, tensorflow_serving/, open_inference/); middleware/ runs before and after all
routes; the files here are what the packages share. Must not know how a model computes, or where its files lie. Read
inkling/predict.py and inkling/explain.py first.
"""
