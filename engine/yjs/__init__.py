"""What Yjs clients speak: y-websocket and Hocuspocus, as values, frames and presence.

Sans I/O. ``messages`` has what is said, ``y_websocket`` and ``hocuspocus`` its two encodings,
``presence`` who is there.
"""
