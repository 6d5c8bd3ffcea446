"""The published layouts of image datasets, one module each: folders and label files to a listing of images."""
