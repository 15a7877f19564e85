"""Why a network answers as it does: maps of what spoke for a class, its filters, and how far such maps can be trusted.

A map is over the places of the last layer that has places; occlusion needs no gradient and checks it, and a network of
shuffled weights says how much of it the image alone explains. Nothing here decides a run's numbers.
"""

from pipeline.insight.attention import METHODS, ClassMaps, class_maps
from pipeline.insight.covering import occlusion
from pipeline.insight.sanity import likeness, shuffled
from pipeline.insight.taps import last_map, outputs

__all__ = ["METHODS", "ClassMaps", "class_maps", "last_map", "likeness", "occlusion", "outputs", "shuffled"]
