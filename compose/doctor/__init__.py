"""What this kernel and this user can do: facts, verdicts on them, and how to mend what is missing."""
