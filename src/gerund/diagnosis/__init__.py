"""`gerund doctor`: broken files, copies, doubtful labels, leaking splits. Begin with `doctor`. Knows no recogniser."""
