"""Yjs updates as bytes: the strict parser, causal order, updates on their way by document."""
