"""Text of the demo corpus: ten instructions for each capability, and the vocabulary of the rows.

No word is shared by all instructions of a capability, so that no selector can detect a capability by a keyword; the
instructions of one capability stay on one topic, so that a sentence encoder can group them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUCTIONS: Mapping[str, tuple[str, ...]] = {
    "arithmetic": (
        "Add the two numbers.",
        "What is the sum of these figures?",
        "A till shows two prices. What does the customer pay in total?",
        "Work out how much both amounts make together.",
        "Combine the pair of values into one total.",
        "Two bills are due. Say what they cost altogether.",
        "Do the addition and write only the result.",
        "How many coins are there when both purses are emptied on the table?",
        "Calculate the first amount plus the second.",
        "Increase the first number by the other one.",
    ),
    "sorting": (
        "Put the letters in alphabetical order.",
        "Sort this list from a to z.",
        "Arrange the items as a dictionary would.",
        "Which order would an index give these entries?",
        "Rank the characters alphabetically, earliest first.",
        "A librarian shelves these labels by the alphabet. Write the shelf.",
        "Order the following ascending.",
        "Tidy up the list so that it runs through the alphabet.",
        "Line these letters up, the one nearest to a in front.",
        "File the cards in dictionary sequence.",
    ),
    "copying": (
        "Repeat the line exactly as it stands.",
        "Copy the text without any change.",
        "Say the same thing back to me.",
        "Echo what follows.",
        "Write down word for word what you see.",
        "Reproduce the message faithfully.",
        "Transcribe this code, leaving it untouched.",
        "Act like a parrot and return the input.",
        "Dictation: note the signs precisely as they are given.",
        "Make an identical duplicate of the message.",
    ),
    "reversing": (
        "Write the sequence backwards.",
        "Reverse the order of the items.",
        "Read the row from right to left.",
        "Turn the list around so that the last item comes first.",
        "Flip the sequence end to end.",
        "What does this look like in a mirror?",
        "Start at the end and walk back to the beginning.",
        "The train returns with its last wagon in front. Name the wagons.",
        "Undo the stack: list the things from the final one to the first one.",
        "Spell it the wrong way round.",
    ),
    "recall": (
        "Each letter has a digit. Look up the last letter.",
        "The lockers hold numbers. Which number is in the locker named at the end?",
        "Use the table to find the value of the key after the comma.",
        "What was stored under the final name?",
        "Remember the pairs and answer for the one in question.",
        "Guests were given rooms. Where does the guest at the end sleep?",
        "Find the entry that belongs to the key.",
        "Given this register, report the value that goes with the last symbol.",
        "Consult the directory and return the matching code.",
        "Which digit was assigned to the variable asked for?",
    ),
    "json": (
        "Format the record as JSON.",
        "Turn these fields into an object with keys and quotes.",
        "Serialise the entry for the web service.",
        "Write the data in machine readable form with braces.",
        "Our interface expects a JSON object. Build it from this.",
        "Encode the row as a structured payload.",
        "Give me the record as attributes and values in curly brackets.",
        "Convert the plain record to the format of the API.",
        "Prepare the request body for this database record.",
        "Express the row as JSON text.",
    ),
    "shifting": (
        "Encrypt by moving every letter one place forward.",
        "Replace each character with its successor.",
        "Apply a Caesar cipher with a step of one.",
        "Advance all letters by one in the alphabet, z becomes a.",
        "Which letters follow these ones?",
        "Encode the secret note: each sign turns into the next.",
        "Shift the message by a single position.",
        "Hide the text by taking for every letter the one after it.",
        "Rotate the cipher wheel one notch and read the message.",
        "Write the letter that comes next for each of these.",
    ),
    "lexicon": (
        "Translate the phrase from Velni into English.",
        "What do these Velni words mean?",
        "A Velni traveller says this. Tell us in English.",
        "Render the foreign expression in English.",
        "Give the English meaning of the phrase.",
        "Interpret for a visitor who speaks no Velni.",
        "How would an English speaker say it?",
        "Provide a translation of this foreign expression.",
        "Put the Velni saying into our own language.",
        "Decipher the old language of the valley.",
    ),
    "weekday": (
        "Move the date forward by the days given.",
        "Which day do we have after that many days?",
        "A parcel leaves on this date and takes so many days. When does it arrive?",
        "The meeting is postponed by the number of days at the end. Name the new date.",
        "Look at the calendar and count on from the date.",
        "Say the weekday and date when the waiting is over.",
        "Today's date is given, then a delay. What will the calendar show?",
        "The holiday starts then and ends later. State the final date.",
        "Compute the deadline from the start and the time allowed.",
        "Turn the pages of the diary ahead. Where do you land?",
    ),
    "majority": (
        "Which letter occurs most often?",
        "Name the winner of the vote.",
        "The ballots are listed. Who has the majority?",
        "Find the most frequent item.",
        "Count the votes and report who is elected.",
        "What is the commonest sign in the list?",
        "One candidate was named more than any other. Which one?",
        "Report the mode of the sample.",
        "Decide the poll: the choice with the highest count.",
        "Tell me the symbol that dominates here.",
    ),
    "replacing": (
        "In the list before the comma, swap the first named letter for the second.",
        "Edit the text: wherever the old sign stands, put the new one.",
        "Correct the typo everywhere, as noted at the end.",
        "Substitute one character by another throughout the line.",
        "Do a find and replace with the two letters after the comma.",
        "Exchange every instance of the faulty part for its spare.",
        "Rewrite the line with the replacement at the end.",
        "Revise the draft: the penultimate letter gives way to the last.",
        "Amend the text by the rule given behind it.",
        "A player leaves and another takes all his places. Update the line.",
    ),
}
"""Ten instructions for each capability."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

MONTHS = tuple("january february march april may june july august september october november december".split())

NAMES = tuple(
    "ada ben cora dan eva finn gina hugo ida jan kira leo mia nils olga paul rosa sam tara udo vera will yara zoe "
    "anna bert clara dora emil fritz greta hans ines jonas karl lena max nora otto pia".split()
)

CITIES = tuple(
    "oslo rome paris bern prague vienna lima cairo delhi tokyo seoul quito dublin london madrid lisbon athens sofia "
    "riga turin milan porto lyon basel graz kiel bonn cork bath york".split()
)

GOODS = tuple(
    "lamp chair table spoon kettle basket ladder hammer bucket mirror carpet pillow candle bottle saddle pencil "
    "violin anchor helmet blanket".split()
)

COLOURS = tuple("red blue green white black brown grey pink orange purple yellow silver".split())

ENGLISH = tuple(
    "water fire stone tree river mountain house bread salt honey horse dog bird fish snake wolf bear goat sheep apple "
    "berry leaf root seed grass flower forest field meadow lake sea island shore sand wind rain snow ice cloud star "
    "moon sun night morning evening winter summer spring autumn year hand foot eye ear nose mouth heart bone blood "
    "skin hair head back knee mother father sister brother child friend king queen soldier farmer hunter baker smith "
    "sailor singer teacher healer guest thief judge road bridge gate door window roof wall tower well garden market "
    "temple village city boat wheel cart rope knife axe sword shield bow arrow needle thread cloth coat shoe hat ring "
    "gold iron copper glass wood clay wool milk butter cheese egg meat soup wine beer song story dance game dream "
    "word name".split()
)
