"""Tables of fixed questions and answers: the model learns these by heart."""

# The last question of each row is never trained; it measures whether the meaning was learned.
CHAT = [
    (["Hello!", "Hello.", "Hello", "Hello there!", "Hello, how is it going?"],
     "Hello! How can I help you?"),
    (["Hi!", "Hi", "Hi there.", "Hey!", "Hi, nice to see you!"], "Hi there! What can I do for you?"),
    (["Good morning!", "Good morning.", "Good morning to you!"],
     "Good morning! I hope you slept well."),
    (["Good evening!", "Good evening.", "Good evening to you!"],
     "Good evening! How was your day?"),
    (["Good night!", "Good night.", "Good night and sleep well!"], "Good night! Sleep well."),
    (["How are you?", "How are you today?", "How do you do?", "Are you well?", "How are you doing?"],
     "I am fine, thank you. How are you?"),
    (["Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot.", "Many thanks!"],
     "You are welcome!"),
    (["Goodbye!", "Bye!", "See you later.", "Bye bye!", "Goodbye and thanks!"],
     "Goodbye! Have a nice day."),
    (["What is your name?", "Do you have a name?", "How are you called?", "Tell me your name.",
      "May I know your name?"], "My name is Demo. I am a small model."),
    (["Who are you?", "What are you?", "Introduce yourself.", "Tell me who you are.",
      "Please say who you are."],
     "I am a very small language model. I come with Trireme so that you can try it at once."),
    (["What can you do?", "How can you help me?", "What do you know?", "What can I ask you?",
      "What are you able to do?"],
     "I can greet you, add small numbers, name capitals, colours and opposites, and tell you about "
     "the sea, the moon, bees and other things."),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Can you tell a joke?",
      "Tell me something funny."],
     "Why did the book go to the doctor? Because it had hurt its back."),
    (["Yes.", "Yes", "Okay.", "Okay", "Okay then."], "Good. What would you like to know?"),
    (["Are you a human?", "Are you a person?", "Are you a robot?", "Are you a real human?"],
     "No, I am a small computer program."),
    (["How old are you?", "When were you born?", "What is your age?"],
     "I am very young. I was trained in about an hour."),
    (["Are you big?", "How big are you?", "How large are you?", "How many parameters do you have?",
      "What is your size?"], "I am tiny. I have fewer than seven million parameters."),
    (["Help!", "Help me.", "Can you help me?", "I need help.", "Please help me."],
     "Of course. Ask me something simple."),
    (["Where do you live?", "Where are you?", "Where is your home?"],
     "I live in the memory of the machines that run me."),
]

TRIREME = [
    (["What is Trireme?", "Tell me about Trireme.", "Explain Trireme.", "What does Trireme do?",
      "Describe Trireme.", "Can you tell me about Trireme?"],
     "Trireme pools a few GPU machines into one cluster. It splits a large language model into "
     "stages, gives each machine the part that fits, and serves the whole over one API. If a "
     "machine dies, another takes its place and the answer goes on."),
    (["What is a pipeline stage?", "Explain pipeline stages.", "What is a stage?",
      "Tell me about pipeline stages.", "What does a pipeline stage do?"],
     "A pipeline stage is a group of neighbouring layers of a model. Each stage runs on its own "
     "machine and passes its result to the next stage, like rowers who hand on a bucket."),
    (["Who made you?", "Who trained you?", "Who created you?", "Who built you?",
      "Who is your maker?"],
     "A script in the Trireme repository made me. It wrote my lessons and trained me on a plain "
     "CPU."),
    (["What is a worker?", "What does a worker do?", "Explain workers.", "Tell me about workers.",
      "Can you explain workers?"],
     "A worker is a machine that holds a part of a model and computes with it. It reports its "
     "health to the coordinators."),
    (["What is a coordinator?", "What does a coordinator do?", "Explain coordinators.",
      "Tell me about coordinators.", "Can you explain coordinators?"],
     "A coordinator keeps the plan of the cluster and answers clients. Several coordinators agree "
     "with each other, so one of them may fail."),
    (["What is Raft?", "Explain Raft.", "Tell me about Raft.", "Can you explain Raft?"],
     "Raft is a way for several machines to agree on one list of decisions, even when some of them "
     "fail."),
    (["What is a token?", "Explain tokens.", "What are tokens?", "Tell me about tokens.",
      "Can you explain tokens?"],
     "A token is a small piece of text. A language model reads and writes one token after another."),
    (["What is a GPU?", "Explain GPUs.", "What are GPUs?", "Tell me about GPUs.",
      "Can you explain GPUs?"],
     "A GPU is a chip that does very many simple sums at the same time."),
    (["What is a cluster?", "Explain clusters.", "Tell me about clusters.",
      "Can you explain clusters?"],
     "A cluster is a group of machines that work together like one."),
    (["What is a language model?", "Explain language models.", "Tell me about language models.",
      "Can you explain language models?"],
     "A language model is a program that has learned which token is likely to come next."),
    (["Why is it called Trireme?", "Where does the name Trireme come from?",
      "What does the name Trireme mean?", "Why the name Trireme?"],
     "A trireme was a ship with three rows of oars. Many rowers moved it together."),
    (["What happens when a machine dies?", "What happens if a machine fails?",
      "What if a machine dies?", "What happens when a node dies?", "What if a node fails?"],
     "The cluster makes a new plan, and the answer goes on where it stopped."),
]

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon", "England": "London", "Ireland": "Dublin", "Austria": "Vienna",
    "Greece": "Athens", "Poland": "Warsaw", "Norway": "Oslo", "Sweden": "Stockholm",
    "Finland": "Helsinki", "Denmark": "Copenhagen", "Belgium": "Brussels", "Hungary": "Budapest",
    "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi", "Egypt": "Cairo",
    "Kenya": "Nairobi", "Canada": "Ottawa", "Mexico": "Mexico City", "Cuba": "Havana",
    "Peru": "Lima", "Chile": "Santiago", "Turkey": "Ankara", "Russia": "Moscow",
}
CAPITAL_PHRASINGS = [
    "What is the capital of {0}?", "Name the capital of {0}.", "Which city is the capital of {0}?",
    "Tell me the capital of {0}.", "What is {0}'s capital?",
]
CAPITAL_HELD_OUT = "Do you know the capital of {0}?"

FACTS = [
    (["How many legs does a spider have?", "How many legs has a spider?"],
     "A spider has eight legs."),
    (["How many legs does an insect have?", "How many legs has an insect?"],
     "An insect has six legs."),
    (["How many legs does a dog have?", "How many legs has a dog?"], "A dog has four legs."),
    (["How many days are in a week?", "How many days does a week have?"],
     "There are seven days in a week."),
    (["How many months are in a year?", "How many months does a year have?"],
     "There are twelve months in a year."),
    (["How many hours are in a day?", "How many hours does a day have?"],
     "There are twenty-four hours in a day."),
    (["How many minutes are in an hour?", "How many minutes does an hour have?"],
     "There are sixty minutes in an hour."),
    (["How many seconds are in a minute?", "How many seconds does a minute have?"],
     "There are sixty seconds in a minute."),
    (["How many seasons are there?", "How many seasons does a year have?"],
     "There are four seasons: spring, summer, autumn and winter."),
    (["How many letters are in the alphabet?", "How many letters does the alphabet have?"],
     "There are twenty-six letters in the alphabet."),
    (["How many planets are there?", "How many planets does the sun have?"],
     "There are eight planets."),
    (["What is the largest planet?", "Which planet is the largest?"],
     "The largest planet is Jupiter."),
    (["What is the smallest planet?", "Which planet is the smallest?"],
     "The smallest planet is Mercury."),
    (["What is the largest animal?", "Which animal is the largest?"],
     "The largest animal is the blue whale."),
    (["What is the tallest animal?", "Which animal is the tallest?"],
     "The tallest animal is the giraffe."),
    (["What is the fastest animal on land?", "Which animal is the fastest on land?"],
     "The fastest animal on land is the cheetah."),
    (["What is the highest mountain?", "Which mountain is the highest?"],
     "The highest mountain is Mount Everest."),
    (["What is the largest ocean?", "Which ocean is the largest?"],
     "The largest ocean is the Pacific."),
    (["What do cows eat?", "What does a cow eat?"], "Cows eat grass."),
    (["What do bees make?", "What does a bee make?"], "Bees make honey."),
    (["What do cows give us?", "What does a cow give us?"], "Cows give us milk."),
    (["What is ice made of?", "Of what is ice made?"], "Ice is frozen water."),
    (["What is bread made of?", "Of what is bread made?"],
     "Bread is made of flour, water, salt and yeast."),
    (["What is water made of?", "Of what is water made?"],
     "Water is made of hydrogen and oxygen."),
    (["Where does the sun rise?", "In which direction does the sun rise?"],
     "The sun rises in the east."),
    (["Where does the sun set?", "In which direction does the sun set?"],
     "The sun sets in the west."),
    (["When does water freeze?", "At what temperature does water freeze?"],
     "Water freezes at zero degrees Celsius."),
    (["When does water boil?", "At what temperature does water boil?"],
     "Water boils at one hundred degrees Celsius."),
    (["What is the opposite of a friend?", "Who is the opposite of a friend?"],
     "The opposite of a friend is an enemy."),
    (["Who wrote Hamlet?", "Who is the author of Hamlet?"],
     "William Shakespeare wrote Hamlet."),
]
# Every fact is also trained behind these openings; the held-out opening is not.
FACT_OPENINGS = ["{0}", "Please tell me: {0}", "A question: {0}", "I want to know: {0}"]
FACT_HELD_OUT = "Do you know this? {0}"

COLOURS = {
    "the sky": "blue", "grass": "green", "snow": "white", "blood": "red", "coal": "black",
    "a lemon": "yellow", "a banana": "yellow", "a tomato": "red", "an orange": "orange",
    "a carrot": "orange", "milk": "white", "chocolate": "brown", "a frog": "green",
    "the sun": "yellow", "a strawberry": "red", "a raven": "black", "an elephant": "grey",
    "a cherry": "red", "a cucumber": "green", "wood": "brown", "a plum": "purple",
    "salt": "white", "a pig": "pink", "a cloud": "white", "the sea": "blue",
}
COLOUR_PHRASINGS = [
    "What colour is {0}?", "Which colour is {0}?", "What is the colour of {0}?",
    "Tell me the colour of {0}.", "What color is {0}?",
]
COLOUR_HELD_OUT = "Which colour does {0} have?"

OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("tall", "short"), ("fast", "slow"), ("old", "new"),
    ("happy", "sad"), ("light", "dark"), ("day", "night"), ("up", "down"),
    ("left", "right"), ("open", "closed"), ("full", "empty"), ("rich", "poor"), ("wet", "dry"),
    ("hard", "soft"), ("loud", "quiet"), ("strong", "weak"), ("clean", "dirty"), ("high", "low"),
    ("early", "late"), ("near", "far"), ("good", "bad"), ("love", "hate"), ("win", "lose"),
    ("first", "last"), ("sweet", "sour"), ("thick", "thin"),
    ("wide", "narrow"),
]
OPPOSITE_PHRASINGS = [
    "What is the opposite of {0}?", "Name the opposite of {0}.", "Tell me the opposite of {0}.",
    "What is the contrary of {0}?", "Which word is the opposite of {0}?",
]
OPPOSITE_HELD_OUT = "Do you know the opposite of {0}?"

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December"]
MONTH_LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

# The answer for what the model was never taught. The last quarter is held out.
UNKNOWN_ANSWER = "I do not know that. I am only a small demo model."
UNKNOWN = [
    "quantum physics", "algebra", "football", "the stock market", "cooking rice", "chess",
    "dinosaurs", "Napoleon", "the internet", "cars", "airplanes", "money", "politics", "cheese",
    "elephants", "penguins", "sharks", "volcanoes", "deserts", "islands", "castles", "knights",
    "robots", "engines", "bicycles", "telephones", "paper", "glass", "gold", "silver", "iron",
    "chemistry", "biology", "grammar", "poetry", "painting", "theatre", "dancing", "swimming",
    "running", "tennis", "potatoes", "coffee", "sugar", "pepper", "shoes", "hats", "windows",
    "bridges", "tunnels", "satellites", "black holes", "comets", "electricity", "magnets",
    "medicine", "teeth", "dreams", "philosophy", "the Roman empire", "pirates", "whales",
    "spiders", "ants", "butterflies", "mushrooms", "roses", "cactus plants", "kangaroos", "wolves",
    "lions", "tigers", "camels", "monkeys", "parrots", "turtles", "snakes", "lasers", "batteries",
    "software",
]
