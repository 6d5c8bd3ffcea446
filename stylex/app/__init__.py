"""`stylex app`: a local page that explains images, with a slider for each attribute (docs/app.md).

`model` is what is explained, `pictures` reads uploads, `work` queues, `guard` refuses requests, `page` is one browser's
page, `server` starts it all. Only `page` and `server` know NiceGUI.
"""
