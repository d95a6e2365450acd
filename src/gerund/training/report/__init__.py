"""What a run shows of itself: a page, its plots and pictures."""
