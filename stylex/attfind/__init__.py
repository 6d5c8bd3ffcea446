"""AttFind ([L] 3.3): the effect of every style coordinate on the classifier, and the choice of attributes."""
