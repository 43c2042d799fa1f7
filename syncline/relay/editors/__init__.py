"""The connections of Yjs editors, in both protocols."""
