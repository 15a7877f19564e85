"""How a classifier fails, in numbers: from labels and logits alone, whatever gave them.

Arrays are `labels` int [N] and `logits` float [N, K], or for one class against all others `scores` float [N] (more of
it is more of the class) and `positive` bool [N]. What cannot be said, as of a class without examples, is NaN.
"""
