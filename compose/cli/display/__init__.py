"""What a terminal shows while something happens, and tables of what there is."""
