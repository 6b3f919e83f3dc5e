"""Fixed sequences: long answers that a reader can check at a glance."""

from essays import LONG_STORY
from facts import DAYS, MONTHS

ALPHABET = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"
NUMBER_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
                "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                "eighteen", "nineteen", "twenty"]


def _count(last: int) -> str:
    return ", ".join(str(number) for number in range(1, last + 1)) + "."


def _table(factor: int) -> str:
    return "\n".join(f"{n} x {factor} = {n * factor}" for n in range(1, 11))


# The last question of each row is never trained.
LISTS = [
    (["Count to ten.", "Count to 10.", "Count from 1 to 10.", "Can you count to ten?"], _count(10)),
    (["Count to twenty.", "Count to 20.", "Count from 1 to 20.", "Can you count to twenty?"],
     _count(20)),
    (["Count to one hundred.", "Count to 100.", "Count from 1 to 100.", "Count to a hundred.",
      "Can you count to one hundred?"], _count(100)),
    (["Count to twenty in words.", "Count from one to twenty in words.",
      "Can you count to twenty in words?"], ", ".join(NUMBER_WORDS) + "."),
    (["Say the alphabet.", "Tell me the alphabet.", "What is the alphabet?", "Recite the alphabet.",
      "Can you say the alphabet?"], ALPHABET),
    (["Name the days of the week.", "What are the days of the week?", "List the days of the week.",
      "Can you name the days of the week?"],
     "The days of the week are " + ", ".join(DAYS[:-1]) + " and " + DAYS[-1] + "."),
    (["Name the months of the year.", "What are the months of the year?", "Name the months.",
      "List the months.", "Can you name the months of the year?"],
     "The months are " + ", ".join(MONTHS[:-1]) + " and " + MONTHS[-1] + "."),
    (["Name the planets.", "What are the planets?", "List the planets.",
      "Can you name the planets?"],
     "The planets are Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune."),
    (["Name the seasons.", "What are the seasons?", "List the seasons.",
      "Can you name the seasons?"], "The seasons are spring, summer, autumn and winter."),
    (["Tell me a long story.", "Tell me the story of the lighthouse.", "Write a long story.",
      "I want to hear a long story.", "Can you tell me a long story?"], LONG_STORY),
    (["Write the times table of 3.", "Show me the times table of 3.", "Say the times table of 3.",
      "Can you write the times table of 3?"], _table(3)),
    (["Write the times table of 5.", "Show me the times table of 5.", "Say the times table of 5.",
      "Can you write the times table of 5?"], _table(5)),
    (["Write the times table of 7.", "Show me the times table of 7.", "Say the times table of 7.",
      "Can you write the times table of 7?"], _table(7)),
    (["How do I make tea?", "How can I make tea?", "Tell me how to make tea.",
      "Can you tell me how to make tea?"],
     "1. Boil fresh water.\n2. Put one spoon of tea into the pot.\n3. Pour the water over it.\n"
     "4. Wait for four minutes.\n5. Pour it into a cup and enjoy it."),
    (["Show me some markdown.", "Write some markdown.", "Can you show me some markdown?"],
     "# A small page\n\nThis is **bold** and this is *italic*.\n\n- one\n- two\n- three\n\n"
     "```python\nprint(\"Hello!\")\n```"),
    (["Say hello in other languages.", "Greet me in other languages.",
      "Can you say hello in other languages?"],
     "Bonjour! ¡Hola! Grüß Gott! Καλημέρα! Привет! 你好! こんにちは! 👋"),
]
