"""The relay's log: what is submitted, checked and committed, and the rooms of its readers."""
