"""zero-shot: the base as it is. What every other method is to be better than."""

from __future__ import annotations

from lynx_cl.base.settings import Settings
from lynx_cl.continual.method import Learning, Method, method


class ZeroShotSettings(Settings):
    """There is nothing to set."""


@method(ZeroShotSettings)
class ZeroShot(Method):
    """Learns nothing, so that each of its rows is that of the base alone."""

    learns = False

    def learn(self, stage: int) -> Learning:
        return Learning(0.0)
