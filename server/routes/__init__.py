"""One blueprint per dialect of HTTP. They parse requests and encode answers; what happens between belongs to inference/."""
