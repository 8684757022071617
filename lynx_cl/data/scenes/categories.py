"""The things a scene can hold: COCO categories that have a faithful OpenMoji glyph, and a disjoint long tail.

Names, ids and supercategories are those of the COCO 2017 detection annotations (Lin et al. 2014). Of the 80, those are
left out whose glyph shows something else (the racket glyph is mostly a ball, the hydrant glyph an extinguisher, the
fork glyph comes with a knife) or is the glyph of another category (bench and chair).
"""

from __future__ import annotations

from dataclasses import dataclass

from lynx_cl.data.words import plural


@dataclass(frozen=True)
class Category:
    """One kind of thing: COCO id, name, supercategory, and the OpenMoji character that draws it."""

    id: int
    name: str
    supercategory: str
    glyph: str

    @property
    def plural(self) -> str:
        """The name for more than one: 'dogs', 'buses', 'knives'.

        >>> Category(15, "bench", "outdoor", "x").plural
        'benches'
        """
        return plural(self.name)


_COCO = """
1 person|person|🧍
2 bicycle|vehicle|🚲
3 car|vehicle|🚗
4 motorcycle|vehicle|🏍
5 airplane|vehicle|✈
6 bus|vehicle|🚌
7 train|vehicle|🚆
8 truck|vehicle|🚚
9 boat|vehicle|⛵
10 traffic light|outdoor|🚦
13 stop sign|outdoor|🛑
16 bird|animal|🐦
17 cat|animal|🐈
18 dog|animal|🐕
19 horse|animal|🐎
20 sheep|animal|🐑
21 cow|animal|🐄
22 elephant|animal|🐘
23 bear|animal|🐻
24 zebra|animal|🦓
25 giraffe|animal|🦒
27 backpack|accessory|🎒
28 umbrella|accessory|☂
31 handbag|accessory|👜
32 tie|accessory|👔
33 suitcase|accessory|🧳
34 frisbee|sports|🥏
35 skis|sports|🎿
37 sports ball|sports|⚽
38 kite|sports|🪁
41 skateboard|sports|🛹
44 bottle|kitchen|🍾
46 wine glass|kitchen|🍷
47 cup|kitchen|☕
49 knife|kitchen|🔪
50 spoon|kitchen|🥄
51 bowl|kitchen|🥣
52 banana|food|🍌
53 apple|food|🍎
54 sandwich|food|🥪
55 orange|food|🍊
56 broccoli|food|🥦
57 carrot|food|🥕
58 hot dog|food|🌭
59 pizza|food|🍕
60 donut|food|🍩
61 cake|food|🎂
62 chair|furniture|🪑
63 couch|furniture|🛋
64 potted plant|furniture|🪴
65 bed|furniture|🛏
70 toilet|furniture|🚽
72 tv|electronic|📺
73 laptop|electronic|💻
74 mouse|electronic|🖱
76 keyboard|electronic|⌨
77 cell phone|electronic|📱
84 book|indoor|📖
85 clock|indoor|⏰
86 vase|indoor|🏺
87 scissors|indoor|✂
88 teddy bear|indoor|🧸
90 toothbrush|indoor|🪥
"""

_TAIL = """
1001 rocket|vehicle|🚀
1002 tractor|vehicle|🚜
1003 helicopter|vehicle|🚁
1004 anchor|outdoor|⚓
1005 fox|animal|🦊
1006 frog|animal|🐸
1007 owl|animal|🦉
1008 snail|animal|🐌
1009 butterfly|animal|🦋
1010 octopus|animal|🐙
1011 penguin|animal|🐧
1012 fish|animal|🐟
1013 crab|animal|🦀
1014 hat|accessory|🎩
1015 crown|accessory|👑
1016 shoe|accessory|👞
1017 guitar|sports|🎸
1018 trumpet|sports|🎺
1019 drum|sports|🥁
1020 strawberry|food|🍓
1021 cherry|food|🍒
1022 mushroom|food|🍄
1023 cheese|food|🧀
1024 candle|indoor|🕯
1025 hammer|indoor|🔨
1026 key|indoor|🔑
1027 bell|indoor|🔔
1028 camera|electronic|📷
"""


def _read(table: str) -> tuple[Category, ...]:
    rows = []
    for line in table.strip().splitlines():
        number, rest = line.split(" ", 1)
        name, supercategory, glyph = rest.split("|")
        rows.append(Category(int(number), name, supercategory, glyph))
    return tuple(rows)


COCO: tuple[Category, ...] = _read(_COCO)
LONG_TAIL: tuple[Category, ...] = _read(_TAIL)
BY_NAME: dict[str, Category] = {category.name: category for category in COCO + LONG_TAIL}
