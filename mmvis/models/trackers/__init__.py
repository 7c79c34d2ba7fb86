"""Association of detections over time, shared by the online systems."""
from .association import AssociationTracker, TrackMemory, TrackSummary, visible

__all__ = ['AssociationTracker', 'TrackMemory', 'TrackSummary', 'visible']
