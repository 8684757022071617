"""The embedded world: pictures composed of OpenMoji glyphs, with exact annotations."""

from lynx_cl.data.scenes.categories import BY_NAME, COCO, LONG_TAIL, Category
from lynx_cl.data.scenes.places import SIDE
from lynx_cl.data.scenes.scene import SPLITS, Scene, SceneObject, make_flock, make_scene, scenes, with_sign

__all__ = [
    "BY_NAME",
    "COCO",
    "LONG_TAIL",
    "SIDE",
    "SPLITS",
    "Category",
    "Scene",
    "SceneObject",
    "make_flock",
    "make_scene",
    "scenes",
    "with_sign",
]
