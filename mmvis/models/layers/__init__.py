"""Parts that several systems share and mmdet lacks."""
