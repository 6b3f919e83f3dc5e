"""The fixed texts: one answer per topic, so that a greedy answer has a wide margin.

The long ones (more than 150 tokens) exist for tests that interrupt a streamed answer.
"""

LONG = {
    "the sea": (
        "The sea covers more than two thirds of our planet. Its water is salty, because rivers "
        "have carried salt from the land into it for millions of years. Near the shore the sea is "
        "shallow and full of light. Far out it becomes deep, dark and cold, and strange fish live "
        "there that make their own light. The wind pushes the water and makes waves, and the moon "
        "pulls it and makes the tides, so the sea is never still. Great currents carry warm water "
        "from one side of an ocean to the other and keep whole countries mild in winter. People "
        "have always lived beside the sea. They catch fish, they trade with other lands, and they "
        "watch the sky for storms. A sailor learns early that the sea is stronger than any ship, "
        "and that patience is worth more than courage."
    ),
    "the moon": (
        "The moon is the nearest neighbour of the earth. It has no air and no rain, so a footprint "
        "in its dust can last for a million years. The moon does not shine by itself. It only "
        "throws back the light of the sun, and because it travels around us, we see a different "
        "part of its bright side every night. A new moon is dark, then a thin curve appears, it "
        "grows to a half and then to a full round face, and after that it becomes smaller again. "
        "The whole journey takes about four weeks, and the word month comes from it. The pull of "
        "the moon lifts the water of the oceans and makes the tides. Twelve people have walked on "
        "the moon. They brought back stones, pictures and the memory of a small blue planet in a "
        "black sky."
    ),
    "bees": (
        "A bee colony is a small city. In summer some forty thousand bees live together in one "
        "hive, and each of them has a task. Young bees clean the cells and feed the larvae, older "
        "bees build wax combs and guard the door, and the oldest fly out to collect nectar and "
        "pollen. When a bee finds a good field of flowers, she comes home and dances. The dance "
        "tells the others in which direction to fly and how far. Back in the hive the nectar is "
        "passed from mouth to mouth and dried by many wings until it becomes honey. While the bees "
        "gather food they carry pollen from flower to flower, and so apples, cherries and beans "
        "can grow. Without bees our gardens would be quiet and our tables would be poor."
    ),
    "trees": (
        "A tree is one of the most patient living things. It begins as a seed that is often "
        "smaller than a fingernail, and it may stand for a thousand years. The roots hold it in the "
        "ground and drink water, the trunk lifts it toward the light, and the leaves make sugar "
        "from air, water and sunshine. Every year the trunk grows a new ring, so a cut tree tells "
        "its age to anyone who can count. In autumn many trees take back the green from their "
        "leaves and let them fall, and in spring they begin again. A forest cools the air, keeps "
        "the soil in its place and gives a home to birds, foxes and owls. Whoever plants a tree "
        "does something good for people who are not yet born."
    ),
    "rivers": (
        "A river begins high in the mountains, where rain and melting snow gather in a small "
        "spring. At first the water is quick and cold and jumps over the stones. Other streams "
        "join it, and it becomes wide enough to carry boats. In the plain the river slows down, "
        "turns from side to side and drops the sand that it has carried. At the end it meets the "
        "sea, and its sweet water mixes with the salt. People built their first cities beside "
        "rivers, because a river gives water for the fields, fish for the table and a road that "
        "needs no stones. A river can also be dangerous. When the snow melts too fast, it leaves "
        "its bed and floods the land. Then it goes home again and leaves good dark soil behind."
    ),
    "bread": (
        "Bread needs only four things: flour, water, salt and time. The baker mixes the flour with "
        "water and adds a little yeast. Then the dough is pressed and folded until it is smooth, "
        "and it rests in a warm place. While it rests, the yeast eats sugar and makes gas, and the "
        "dough slowly grows to twice its size. The baker gives it a shape, lets it rest once more "
        "and puts it into a very hot oven. First the crust becomes hard, then it turns brown, and "
        "the whole house begins to smell of bread. A good loaf sounds hollow when you knock on it. "
        "It should cool before it is cut, but hardly anybody can wait so long. Fresh bread with "
        "butter is one of the best meals in the world."
    ),
    "mountains": (
        "Mountains are made when two plates of the earth push against each other. The stone has "
        "nowhere to go, so it folds and rises, a few millimetres every year, for millions of years. "
        "Rain, ice and wind work against it and slowly carry the mountain down to the sea. At the "
        "foot of a mountain there are fields and forests. Higher up the trees become small, then "
        "there is only grass, and at the top there is bare rock and snow that never melts. The air "
        "is thin up there, and water boils before it is really hot. People who live in the "
        "mountains know the weather well, because it can change within an hour. Those who climb "
        "start early, walk slowly and turn back in time."
    ),
    "ships": (
        "A trireme was a fast warship of the old Greeks. It was long and narrow, and one hundred "
        "and seventy men pulled its oars in three rows, one above the other. No single rower could "
        "move such a ship. But when all of them pulled in the same rhythm, it was quicker than any "
        "other ship on the sea. A piper played so that they kept the beat, and a helmsman in the "
        "stern held the course. When a rower fell ill, another took his oar, and the ship went on. "
        "The crew slept on the beach at night, because there was hardly any room on board. Later "
        "ships used sails, then steam, then oil. The idea of the trireme is still good: many small "
        "forces, well ordered, can do what one great force cannot."
    ),
    "winter": (
        "Winter is the quiet season. The days are short, the sun stays low, and in the morning the "
        "windows are white with frost. Many animals prepare for it long before it comes. The "
        "squirrel hides nuts, the bear eats until it is fat and round, and the swallows fly away "
        "to the south. Under the snow the ground is warmer than the air, so seeds and mice can "
        "live there and wait. Every snowflake has six arms, and yet it is hard to find two that "
        "look the same. Children are glad when the lake is frozen and the hill is white. Older "
        "people put wood in the stove, drink hot tea and tell each other stories. In the middle of "
        "winter the days begin to grow again, and everybody knows that spring will come."
    ),
    "libraries": (
        "A library is a house full of voices. On its shelves stand books by people who lived far "
        "away or long ago, and anyone may take one down and listen. The books are kept in order, "
        "because a book in the wrong place is a lost book. Each has a number, and a catalogue "
        "tells you where that number stands. In old times a single book cost as much as a house, "
        "and the monks chained it to the desk. Then printing was invented, and books became cheap "
        "enough for everybody. A good librarian does not only know where the books are. She also "
        "knows which one you need before you can say it yourself. A town with a library is richer "
        "than its taxes show."
    ),
}

SHORT = {
    "cats": (
        "Cats are quiet hunters. They see well in the dark, hear the smallest mouse and nearly "
        "always land on their feet. A cat sleeps for most of the day and washes itself with great "
        "care. When it is happy, it purrs."
    ),
    "dogs": (
        "Dogs have lived with people for many thousands of years. They guard the house, help with "
        "the sheep and find lost people by their smell. A dog wants to run, to play and to belong "
        "to somebody. When it is happy, it wags its tail."
    ),
    "rain": (
        "Rain begins with the sun. The sun warms the sea, and water rises into the air where "
        "nobody can see it. High up it cools and becomes a cloud of tiny drops. When the drops are "
        "heavy enough, they fall, fill the rivers and run back to the sea."
    ),
    "the stars": (
        "The stars are suns that are very far away. Their light travels for years before it "
        "reaches us, so we see them as they were long ago. On a clear night you can count about "
        "three thousand of them without a telescope."
    ),
    "the sun": (
        "The sun is a star, and it is the nearest one. It is so large that the earth would fit "
        "into it a million times. Its light needs about eight minutes to reach us. Plants live on "
        "this light, and we live on the plants."
    ),
    "music": (
        "Music is made of sound and silence. A string, a pipe or a voice makes the air tremble, "
        "and our ears turn this into a note. Some notes like to be together, and the rhythm tells "
        "them when to come. Everybody can sing a little."
    ),
    "clocks": (
        "A clock counts something that always takes the same time. In old clocks it is a "
        "pendulum, in a watch it is a small wheel or a crystal, and in the best clocks it is an "
        "atom. The hands only show how far the clock has counted."
    ),
    "gardens": (
        "A garden needs soil, water, light and a person with patience. In spring you sow the "
        "seeds, in summer you pull the weeds, and in autumn you eat the beans. In winter the "
        "garden sleeps, and the gardener makes plans."
    ),
    "horses": (
        "Horses are strong, fast and easily frightened. For a long time they carried people, "
        "pulled ploughs and brought the mail. They can sleep while they stand, and they understand "
        "a calm voice better than a loud one."
    ),
}

# Asked by their own questions, see lists.py.
LONG_STORY = (
    "Once upon a time there was a lighthouse on a small rock in the sea. An old keeper lived in it, "
    "and his name was Martin. Every evening he climbed the hundred and twelve steps, cleaned the "
    "glass and lit the lamp. Every morning he put it out again and went to sleep. One night in "
    "November a storm came from the west. The waves were as high as a house, and the wind broke the "
    "window of the lamp room. The lamp went out. Martin lit it again, and the wind blew it out "
    "again. Then he saw three small lights on the water. They were fishing boats, and they were "
    "sailing straight toward the rock. Martin had no time to repair the window. He took his blanket, "
    "his coat and his table, and he built a wall around the lamp. He held the table with his back, "
    "and the lamp stayed alight. He stood there until the morning. His arms were tired and his "
    "hair was full of salt. When the sun rose, the storm was over, and the three boats lay safe in "
    "the harbour. In the afternoon the fishermen came to the rock. They brought a new window, a new "
    "coat and a basket with bread, fish and apples. The youngest of them asked the keeper why he had "
    "not been afraid. Martin thought about it for a while. I was afraid, he said, but the lamp was "
    "not. From that day on the fishermen came every Sunday, and the keeper was never alone again."
)

PHRASINGS = [
    "Tell me about {0}.",
    "Write about {0}.",
    "What do you know about {0}?",
    "Describe {0}.",
    "Explain {0} to me.",
    "I want to learn about {0}.",
    "Write a short text about {0}.",
    "Please tell me something about {0}.",
]
HELD_OUT_PHRASING = "Can you tell me about {0}?"


def all_topics() -> dict[str, str]:
    return LONG | SHORT
