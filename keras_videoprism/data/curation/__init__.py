"""Which clips of a corpus to keep, and what the corpus is like (Appendix A).

`curate` filters a manifest and drops near-duplicates, `corpus` measures what Table 8 and Figure 5
of the paper tell.
"""
