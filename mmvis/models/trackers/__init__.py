"""Association of detections over time, shared by the online systems."""
from .association import AssociationTracker, TrackMemory, TrackSummary, visible
from .online import OnlineState

__all__ = ['AssociationTracker', 'OnlineState', 'TrackMemory', 'TrackSummary', 'visible']
