"""What all rows of a run say, as one page of HTML: report.py goes from a folder of results to the page.

gather.py reads the rows once and keeps sums and a few of them (k_smallest.py), clusters.py finds maps that are alike,
version.py and drift.py compare with what is known of the version, and summary.py has all of it. sections.py,
cluster_section.py and picture_sections.py write the page, with figures.py and page.py. Must not run any model.
"""
