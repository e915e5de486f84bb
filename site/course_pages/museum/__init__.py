"""The museum of mistakes: runs of known bugs beside right ones, to be looked at and named.

Read in this order: shown (what a run shows, and when two look the same), scenes (what an author
writes), runs (the solution and its broken variants), laws (what hidden tests demand), boards
(which sentences there are to choose from), drawing, pages.
"""
