"""Interactive exploration of models and photos in a notebook: `explore("photo.jpg")`.

`exploration.Exploration` computes what is shown; `panel.Explorer` has the widgets around it.
"""

from facesegkit.course.explorer.exploration import Exploration, Settings
from facesegkit.course.explorer.panel import Explorer, explore
from facesegkit.course.explorer.photos import group_scene, samples
from facesegkit.course.explorer.pictures import VIEWS, ViewOptions
from facesegkit.course.explorer.results import SCREEN_SIDE

__all__ = [
    "SCREEN_SIDE", "VIEWS", "Exploration", "Explorer", "Settings", "ViewOptions", "explore",
    "group_scene", "samples",
]  # fmt: skip
