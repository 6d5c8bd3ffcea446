"""The gallery of a suite: attributes of real images, moved by a slider, in pages that need no server."""
