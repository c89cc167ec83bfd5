"""What all rows of a run say, as one page of HTML: report.py goes from a folder of results to the page.

gather.py reads the rows once and keeps sums and a few of them, clusters.py finds maps that are alike, version.py and
shift.py compare with what is known of the version; sections.py, groups.py and cases.py write the
page, with figures.py and page.py. Must not run any model.
"""
