"""Pictures of results: overlays on the frames, contact sheets, video files."""
from .drawing import draw_frame, track_color
from .sinks import OverlayFolder, OverlayWindow, has_display
from .writers import PictureFiles, VideoFile, contact_sheet, write_image

__all__ = ['OverlayFolder', 'OverlayWindow', 'PictureFiles', 'VideoFile', 'contact_sheet', 'draw_frame',
           'has_display', 'track_color', 'write_image']
