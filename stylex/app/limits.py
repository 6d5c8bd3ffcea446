"""What one server takes at most; docs/app.md has the memory that this comes to."""

UPLOAD_BYTES = 10_000_000  # of a file, counted while it arrives
UPLOAD_PIXELS = 20_000_000  # of a picture, read from its header before it is decoded
UPLOAD_SECONDS = 60.0  # until a file has arrived
UPLOADS = 16  # files that arrive at a time; each is on disk, not in memory
PAGES = 64  # open in browsers; a page holds one image, its styles and one result
PAGE_SECONDS = 10.0  # until a browser that has asked for a page must have opened its websocket, when they are many
SOCKETS = 2 * PAGES
CONNECTIONS = 512
PICTURES_WAITING = 32  # images to be read, one at a time; on disk, as those that arrive
SEARCHES_WAITING = 8  # one runs
FRAMES_WAITING = PAGES  # each page asks for one at a time
MESSAGE_BYTES = 65_536  # of what a browser sends about its sliders
SLIDERS = 8
CLASSES = 8  # of which the page shows probabilities
